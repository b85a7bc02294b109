# Copies the volume at $1 onto the volume at $2 and compares them. Needs a POSIX shell and GNU's coreutils and findutils, and runs as root.
# Whatever is at $2 before goes: it is a volume that was made for this copy, or one that was kept and gets what has become of it since.
set -eu
export LC_ALL=C
from=$1
to=$2
lists=$(mktemp -d)

# Everything that makes an entry what it is but its times: kind, mode, owners, name, of files the number of names, the size and the
# contents, of links the target. lost+found is made with a filesystem, and may be on one side only. No pipes: of those a shell sees only
# the last end.
list() {
    cd "$1"
    find . -path ./lost+found -prune -o -type d -printf '%y %m %U %G %p\0' \
        -o -type f -printf '%y %m %U %G %n %s %p\0' \
        -o -type l -printf '%y %U %G %l %p\0' \
        -o -printf '%y %m %U %G %p\0' >"$lists/entries"
    sort -z -o "$2.entries" "$lists/entries"
    find . -path ./lost+found -prune -o -type f -print0 >"$lists/files"
    sort -z -o "$lists/files" "$lists/files"
    xargs -0 -r -a "$lists/files" sha256sum -z -- >"$2.contents"
}

find "$to" -mindepth 1 -maxdepth 1 ! -name lost+found -exec rm -rf -- {} +

# Folders take over the group of one that says so, and its bit, which cp does not take off again.
chmod ug-s "$to"

# One call, so that names of one file stay names of one file; and unlike -a it fails where an extended attribute cannot be kept.
cp -dR --preserve=mode,ownership,timestamps,links,xattr --sparse=auto -- "$from/." "$to/"
sync

list "$from" "$lists/from"
list "$to" "$lists/to"
for what in entries contents; do
    if ! cmp -s "$lists/from.$what" "$lists/to.$what"; then
        echo "the copy is not what was copied: its $what differ" >&2
        exit 1
    fi
done
echo "copied and compared $(tr -cd '\0' <"$lists/to.entries" | wc -c) entries"
