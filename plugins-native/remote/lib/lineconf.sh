# Merges wanted lines into a configuration file of "key value" lines. Source autoexec.sh first.
#
# Kinds, with what is the key of a line:
#   sysctl      name = value                   the name
#   limits      domain type item value         the first three fields
#   hosts_ip    address name name...           the address
#   hosts_name  address name name...           the first name
#   env         [export] NAME=value            the name; a line without = is its own key
#
# For each wanted key one line is printed: "NotChanged: <line>", "Replace: <old> -> <new>" or "Append: <line>". Comments
# and all other lines stay as they are.

# The wanted lines come on standard input, normalised by the tool: blanks trimmed, no comments.
# merge_lines KIND FILE BACKUP [BASE]: with BASE the file is made anew from that text (which may be empty) and the wanted
# lines; lines that are lost are printed as "Remove: <line>". The new text is left in the file $merged, whose directory
# $merge_dir the caller removes by merge_done. Returns the code for the tool's end: 1 not written, 2 no backup.
merge_lines() {
    merge_dir=$(mktemp -d) || die 1 "Can not make a temporary directory."
    trap 'rm -rf "$merge_dir"' EXIT
    merged=$merge_dir/merged
    cat > "$merge_dir/wanted"
    : > "$merge_dir/old"
    : > "$merged"
    if [ -e "$2" ]; then
        cat "$2" > "$merge_dir/old" || { error "Can not open $2."; return 1; }
    fi
    merge_reset=0 merge_start=$merge_dir/old
    if [ $# -gt 3 ]; then
        merge_reset=1 merge_start=$merge_dir/base
        : > "$merge_start"
        [ -z "$4" ] || printf '%s\n' "$4" > "$merge_start"
    fi
    LC_ALL=C awk -v kind="$1" -v reset="$merge_reset" -v out="$merged" '
    function trim(text) { sub(/^[ \t\r]+/, "", text); sub(/[ \t\r]+$/, "", text); return text }
    function squeeze(text) { text = trim(text); gsub(/[ \t]+/, " ", text); return text }
    # Takes a line apart: key, value, and what stands before and behind the value. 0: it has no key.
    function parse(line,   at, n, field, body) {
        key = ""; before = ""; value = ""; behind = ""
        if (trim(line) == "" || trim(line) ~ /^[#;]/ && kind != "env" || trim(line) ~ /^#/) return 0
        if (kind == "sysctl") {
            at = index(line, "=")
            if (!at) return 0
            key = trim(substr(line, 1, at - 1))
            match(substr(line, at + 1), /^[ \t]*/)
            before = substr(line, 1, at + RLENGTH)
            value = trim(substr(line, at + 1))
        } else if (kind == "limits") {
            body = line
            at = index(body, "#")
            if (at) { behind = " " substr(body, at); body = substr(body, 1, at - 1) }
            n = split(trim(body), field, /[ \t]+/)
            if (n != 4) return 0
            key = field[1] " " field[2] " " field[3]
            match(body, /^[ \t]*[^ \t]+[ \t]+[^ \t]+[ \t]+[^ \t]+[ \t]+/)
            before = substr(body, 1, RLENGTH)
            value = field[4]
        } else if (kind == "hosts_ip" || kind == "hosts_name") {
            body = line
            at = index(body, "#")
            if (at) { behind = " " substr(body, at); body = substr(body, 1, at - 1) }
            n = split(trim(body), field, /[ \t]+/)
            if (n < 2) return 0
            address = field[1]
            value = squeeze(substr(trim(body), length(address) + 1))
            key = kind == "hosts_ip" ? address : field[2]
            before = address "\t"
        } else {
            if (match(line, /^[ \t]*(export[ \t]+)?[A-Za-z_][A-Za-z0-9_]*=/)) {
                before = substr(line, 1, RLENGTH)
                value = trim(substr(line, RLENGTH + 1))
                key = trim(substr(before, 1, length(before) - 1))
                exported = sub(/^export[ \t]+/, "", key)
            } else { key = trim(line); value = ""; before = line; exported = 0 }
        }
        return 1
    }
    # Names of b that a has not, added to a.
    function union(a, b,   n, i, name, known) {
        n = split(a, name, " ")
        for (i = 1; i <= n; i++) known[name[i]] = 1
        n = split(b, name, " ")
        for (i = 1; i <= n; i++) if (!(name[i] in known)) { known[name[i]] = 1; a = a " " name[i] }
        return a
    }
    function wanted_line(key) {
        if (kind == "sysctl") return key " = " want[key]
        if (kind == "limits") return key " " want[key]
        if (kind == "hosts_ip") return key "\t" want[key]
        if (kind == "hosts_name") return at_address[key] "\t" want[key]
        if (index(key, "=") || !(key in assigned)) return key
        return (want_export[key] ? "export " : "") key "=" want[key]
    }
    # The line of the file as it should be.
    function corrected(line) {
        if (kind == "hosts_name") {
            if (address == at_address[key] && union(value, want[key]) == value) return line
            return at_address[key] "\t" union(value, want[key]) behind
        }
        if (kind == "env") {
            if (!(key in assigned)) return line
            if (value == want[key] && (exported || !want_export[key])) return line
            if (want_export[key] && !exported) {
                match(before, /^[ \t]*/)
                before = substr(before, 1, RLENGTH) "export " substr(before, RLENGTH + 1)
            }
            return before want[key]
        }
        if (squeeze(value) == squeeze(want[key])) return line
        return before want[key] behind
    }
    which == 1 {
        if (!parse($0)) next
        if (!(key in want)) order[++wanted] = key
        if (kind == "hosts_ip" && key in want) want[key] = union(want[key], value)
        else want[key] = value
        if (kind == "hosts_name") at_address[key] = address
        if (kind == "env" && before ~ /=$/) { assigned[key] = 1; want_export[key] = exported }
        next
    }
    which == 3 { if (reset) { previous[++olds] = $0; old_has[$0] = 1 } ; next }
    {
        line = $0
        if (parse($0) && key in want) {
            line = corrected($0)
            seen[key] = 1
            if (!reset) print (line == $0 ? "NotChanged: " $0 : "Replace: " $0 " -> " line)
        }
        text[++lines] = line
    }
    END {
        for (i = 1; i <= wanted; i++) {
            if (order[i] in seen) continue
            text[++lines] = wanted_line(order[i])
            if (!reset) print "Append: " text[lines]
        }
        for (i = 1; i <= lines; i++) {
            print text[i] > out
            if (reset) { new_has[text[i]] = 1; print (text[i] in old_has ? "NotChanged: " : "Append: ") text[i] }
        }
        if (reset) for (i = 1; i <= olds; i++) if (!(previous[i] in new_has) && trim(previous[i]) != "") print "Remove: " previous[i]
    }' which=1 "$merge_dir/wanted" which=2 "$merge_start" which=3 "$merge_dir/old" || { error "Can not merge $2."; return 1; }
    put_file "$2" "$merged" "$3"
}

# Writes the new text as an output: save_merged NAME
save_merged() {
    {
        printf '{"%s": ' "$1"
        json_string < "$merged"
        printf '}\n'
    } | save_output
}

merge_done() {
    rm -rf "$merge_dir"
    trap - EXIT
}
