# Look-ups in the user and group databases. Source autoexec.sh first.

# The line of a user or group by name or number: getent where it is, for accounts that are not in the files.
# account_line passwd|group NAME
account_line() {
    if has_program getent; then
        getent "$1" "$2"
    else
        LC_ALL=C awk -F: -v name="$2" '$1 == name { print; exit }' "/etc/$1"
    fi
}

has_user() { [ -n "$(account_line passwd "$1")" ]; }
has_group() { [ -n "$(account_line group "$1")" ]; }
home_of() { account_line passwd "$1" | cut -d: -f6; }
gid_of_group() { account_line group "$1" | cut -d: -f3; }

# The name of a group by number, or the number where it has none.
group_name() {
    autoexec_name=$(LC_ALL=C awk -F: -v gid="$1" '$3 == gid { print $1; exit }' /etc/group)
    [ -n "$autoexec_name" ] || { has_program getent && autoexec_name=$(getent group "$1" | cut -d: -f1); }
    printf '%s\n' "${autoexec_name:-$1}"
}

# The supplementary groups of a user, sorted, separated by commas.
other_groups_of() {
    autoexec_primary=$(id -gn "$1")
    for autoexec_name in $(id -Gn "$1"); do
        [ "$autoexec_name" = "$autoexec_primary" ] || printf '%s\n' "$autoexec_name"
    done | sorted_list
}

# Lines of standard input, sorted, each once, joined by commas.
sorted_list() {
    LC_ALL=C sort -u | tr '\n' ',' | sed 's/,$//'
}

# The owner of a file. There is no stat in POSIX.
owner_of() {
    LC_ALL=C ls -ld "$1" 2>/dev/null | LC_ALL=C awk '{ print $3 }'
}
