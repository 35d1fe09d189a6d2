"""Files of any kind: only regular ones are read, writing is atomic, and a folder in use is locked."""

from ecgvae.files.locking import CAN_LOCK, is_at, lock_folder, locked_folder, try_lock
from ecgvae.files.reading import (
    MAX_YAML_BYTES,
    check_regular,
    parse_yaml,
    read_json,
    read_regular_file,
    read_yaml,
    special_kind,
)
from ecgvae.files.writing import check_free, name_errors, remove, replace_folder, write_atomically

__all__ = ["CAN_LOCK", "MAX_YAML_BYTES", "check_free", "check_regular", "is_at", "lock_folder", "locked_folder",
           "name_errors", "parse_yaml", "read_json", "read_regular_file", "read_yaml", "remove", "replace_folder",
           "special_kind", "try_lock", "write_atomically"]
