# Helper functions for scripts in POSIX sh. Source it: . "$(dirname "$0")/../lib/autoexec.sh"
#
# Lines that start with INFO:, WARN:, ERROR: or FINE: are shown with their type. Outputs go to output.json beside the
# tool; the executor fetches it when the tool ends with 0. On the runner they go to OUTPUT_PATH.
#
# Names that start with autoexec_ are the library's own. POSIX sh has no local variables.

autoexec_dir=$(cd "$(dirname "$0")" && pwd) || autoexec_dir=$(pwd)
umask 022

info()  { printf 'INFO: %s\n' "$*"; }
warn()  { printf 'WARN: %s\n' "$*"; }
error() { printf 'ERROR: %s\n' "$*"; }
fine()  { printf 'FINE: %s\n' "$*"; }

# Ends the tool with an error: die CODE TEXT
die() {
    autoexec_code=$1
    shift
    error "$*"
    exit "$autoexec_code"
}

has_program() { command -v "$1" >/dev/null 2>&1; }

# Ends the tool where one of these programs is missing.
need_program() {
    for autoexec_name in "$@"; do
        has_program "$autoexec_name" || die 1 "The program $autoexec_name is missing on this target."
    done
}

need_root() {
    [ "$(id -u)" = 0 ] || die 1 "Only root can do this; the node's account is $(id -un)."
}

is_on() {
    case $1 in 1|true|yes|on) return 0 ;; *) return 1 ;; esac
}

# --- Options ------------------------------------------------------------------------------------------------------

# parse_options "NAME=DEFAULT ..." "FLAG=DEFAULT ..." "$@" sets $opt_NAME for each declared name and $opt_used to the
# number of arguments it took: continue with shift "$opt_used". Defaults hold no blanks. A flag may stand without a
# value, which means 1. Both --name value and --name=value are taken. With $opt_rest=1 set before, the first word that
# is no declared option starts the free arguments, so that they may begin with a dash.
opt_rest=0
parse_options() {
    autoexec_values=$1
    autoexec_flags=$2
    shift 2
    for autoexec_item in $autoexec_values $autoexec_flags; do
        eval "opt_${autoexec_item%%=*}=\${autoexec_item#*=}"
    done
    opt_used=0
    while [ $# -gt 0 ]; do
        case $1 in
            --) opt_used=$((opt_used + 1)); return 0 ;;
            --*) ;;
            *) return 0 ;;
        esac
        autoexec_name=${1#--}
        autoexec_name=${autoexec_name%%=*}
        autoexec_kind=unknown
        case $autoexec_name in
            ''|*[!A-Za-z0-9_]*) ;;
            *)
                case " $autoexec_values " in *" $autoexec_name="*) autoexec_kind=value ;; esac
                case " $autoexec_flags " in *" $autoexec_name="*) autoexec_kind=flag ;; esac ;;
        esac
        if [ "$autoexec_kind" = unknown ]; then
            is_on "$opt_rest" && return 0
            die 1 "Unknown option: $1"
        fi
        case $1 in
            *=*)
                eval "opt_$autoexec_name=\${1#*=}"
                shift
                opt_used=$((opt_used + 1))
                continue ;;
        esac
        if [ "$autoexec_kind" = flag ]; then
            case ${2-} in
                0|1|true|false|yes|no) ;;
                *)
                    eval "opt_$autoexec_name=1"
                    shift
                    opt_used=$((opt_used + 1))
                    continue ;;
            esac
        fi
        [ $# -gt 1 ] || die 1 "The option $1 needs a value."
        eval "opt_$autoexec_name=\$2"
        shift 2
        opt_used=$((opt_used + 2))
    done
}

# A text area arrives with the two characters \n for each line break; this turns them back.
unfold() {
    for autoexec_text in "$@"; do
        printf '%s\n' "$autoexec_text" | LC_ALL=C awk '{ gsub(/\\n/, "\n"); print }'
    done
}

# The same with one line per entry, blanks trimmed, empty ones left out.
lines_of() {
    unfold "$@" | LC_ALL=C sed 's/^[[:space:]]*//; s/[[:space:]]*$//; /^$/d'
}

# The same without comment lines.
entries_of() {
    lines_of "$@" | LC_ALL=C sed '/^#/d'
}

# --- JSON ---------------------------------------------------------------------------------------------------------

# Whether a file is UTF-8. Systems without iconv have awk.
autoexec_is_utf8() {
    if has_program iconv; then
        iconv -f UTF-8 -t UTF-8 < "$1" >/dev/null 2>&1
    else
        LC_ALL=C awk '
            !/^([\001-\177]|[\302-\337][\200-\277]|[\340-\357][\200-\277][\200-\277]|[\360-\364][\200-\277][\200-\277][\200-\277])*$/ { bad = 1; exit }
            END { exit bad }' "$1"
    fi
}

# Standard input as valid UTF-8: text in another encoding is taken for that of LANG, else for GB18030.
to_utf8() {
    autoexec_file=$(mktemp) || die 1 "Can not make a temporary file."
    cat > "$autoexec_file"
    if autoexec_is_utf8 "$autoexec_file"; then
        cat "$autoexec_file"
    else
        case ${LANG-} in
            *.[Uu][Tt][Ff]*|''|C|POSIX) autoexec_charset=GB18030 ;;
            *.*) autoexec_charset=${LANG#*.}; autoexec_charset=${autoexec_charset%%@*} ;;
            *) autoexec_charset=GB18030 ;;
        esac
        iconv -f "$autoexec_charset" -t UTF-8 < "$autoexec_file" 2>/dev/null ||
            LC_ALL=C tr -d '\200-\377' < "$autoexec_file"
    fi
    rm -f "$autoexec_file"
}

# The text of standard input as a JSON string, with quotes.
json_string() {
    to_utf8 | LC_ALL=C awk 'BEGIN { printf "\"" }
    NR > 1 { printf "\\n" }
    {
        gsub(/\\/, "&&"); gsub(/"/, "\\\""); gsub(/\t/, "\\t"); gsub(/\r/, "\\r")
        gsub(/[\001-\010\013\014\016-\037]/, "")
        printf "%s", $0
    }
    END { printf "\"" }'
}

# Reads a flat JSON value on standard input and prints one line for each member: key, tab, value. The key is the name
# in an object, the index in an array, and empty for a single value. Strings lose their quotes; a line break in one
# stays the two characters \n. Anything that is nested, or is not JSON, fails.
json_pairs() {
    LC_ALL=C awk '
    function fail(why) { print "not the JSON that is expected here: " why | "cat >&2"; failed = 1; exit 1 }
    function blanks() { while (substr(text, at, 1) ~ /[ \t\r\n]/) at++ }
    function hex(digits,   i, n) {
        n = 0
        for (i = 1; i <= length(digits); i++) n = n * 16 + index("0123456789abcdef", tolower(substr(digits, i, 1))) - 1
        return n
    }
    function utf8(code) {
        if (code < 128) return sprintf("%c", code)
        if (code < 2048) return sprintf("%c%c", 192 + int(code / 64), 128 + code % 64)
        if (code < 65536) return sprintf("%c%c%c", 224 + int(code / 4096), 128 + int(code / 64) % 64, 128 + code % 64)
        return sprintf("%c%c%c%c", 240 + int(code / 262144), 128 + int(code / 4096) % 64, 128 + int(code / 64) % 64, 128 + code % 64)
    }
    function unit(   digits) {
        digits = substr(text, at, 4)
        if (digits !~ /^[0-9A-Fa-f][0-9A-Fa-f][0-9A-Fa-f][0-9A-Fa-f]$/) fail("a bad \\u sequence")
        at += 4
        return hex(digits)
    }
    function string(   out, c, code, low) {
        at++; out = ""
        while (1) {
            if (at > length(text)) fail("a string without end")
            c = substr(text, at++, 1)
            if (c == "\"") return out
            if (c != "\\") { out = out (c == "\n" || c == "\t" ? " " : c); continue }
            c = substr(text, at++, 1)
            if (c == "n") out = out "\\n"
            else if (c == "t" || c == "r" || c == "b" || c == "f") out = out " "
            else if (c == "\"" || c == "\\" || c == "/") out = out c
            else if (c == "u") {
                code = unit()
                if (code >= 55296 && code < 56320 && substr(text, at, 2) == "\\u") {
                    at += 2; low = unit()
                    code = 65536 + (code - 55296) * 1024 + (low - 56320)
                }
                out = out (code < 32 ? " " : utf8(code))
            }
            else fail("a bad escape in a string")
        }
    }
    function scalar(   word) {
        blanks()
        if (substr(text, at, 1) == "\"") return string()
        match(substr(text, at), /^[-+.0-9A-Za-z]*/)
        word = substr(text, at, RLENGTH)
        if (word !~ /^(true|false|null|-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?)$/) fail("a nested value or a bad word at character " at)
        at += RLENGTH
        return word == "null" ? "" : word
    }
    { text = text (NR > 1 ? "\n" : "") $0 }
    END {
        if (failed) exit 1
        at = 1; count = 0; blanks()
        first = substr(text, at, 1)
        if (first == "{" || first == "[") {
            last = first == "{" ? "}" : "]"
            at++; blanks()
            if (substr(text, at, 1) == last) at++
            else while (1) {
                key = count
                if (first == "{") {
                    blanks()
                    if (substr(text, at, 1) != "\"") fail("a member without a name")
                    key = string(); blanks()
                    if (substr(text, at++, 1) != ":") fail("a member without a colon")
                }
                lines[count++] = key "\t" scalar()
                blanks(); c = substr(text, at++, 1)
                if (c == last) break
                if (c != ",") fail("a missing comma or bracket")
            }
        } else lines[count++] = "\t" scalar()
        blanks()
        if (at <= length(text)) fail("more text after the value")
        for (i = 0; i < count; i++) print lines[i]
    }'
}

# A value of this node: node_value host
node_value() {
    printf '%s' "${AUTOEXEC_NODE-}" | json_pairs 2>/dev/null | LC_ALL=C awk -F '\t' -v key="$1" '$1 == key { print substr($0, length(key) + 2); exit }'
}

# --- Outputs and live data ----------------------------------------------------------------------------------------

# Writes standard input to a file by way of a temporary one: a reader sees the old content or the new.
autoexec_replace() {
    mkdir -p "$(dirname "$1")" && cat > "$1.new" && mv -f "$1.new" "$1"
}

# Writes the outputs, standard input being a JSON object. The whole file is replaced: call it once.
save_output() {
    if [ -n "${OUTPUT_PATH-}" ] && [ -n "${OPERATION_ID-}" ]; then
        autoexec_output=$OUTPUT_PATH
    else
        autoexec_output=$autoexec_dir/output.json
    fi
    autoexec_replace "$autoexec_output" || die 1 "Can not write the outputs to $autoexec_output."
}

# Writes data for the tool's status page while it runs, standard input being JSON. Only runner tools have a page.
save_live_data() {
    if [ -z "${LIVEDATA_PATH-}" ]; then
        cat >/dev/null
        warn "Could not save live data, because of environ LIVEDATA_PATH not defined."
        return 0
    fi
    info "Try save live data to $LIVEDATA_PATH."
    autoexec_replace "$LIVEDATA_PATH" || die 1 "Can not write the live data to $LIVEDATA_PATH."
    info "Save live data success."
}

# --- Operator input -----------------------------------------------------------------------------------------------

# Sends standard input as one datagram to the executor. sh can not: Perl or Python does it.
autoexec_send() {
    [ -n "${AUTOEXEC_JOB_SOCK-}" ] && [ -e "$AUTOEXEC_JOB_SOCK" ] || return 1
    if has_program perl; then
        perl -MIO::Socket::UNIX -e 'local $/; my $text = <STDIN>;
            my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => $ENV{AUTOEXEC_JOB_SOCK}) or exit 1;
            defined($socket->send($text)) or exit 1;'
        return
    fi
    for autoexec_name in python3 python python2; do
        has_program "$autoexec_name" || continue
        "$autoexec_name" -c 'import os, socket, sys
data = getattr(sys.stdin, "buffer", sys.stdin).read()
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(data, os.environ["AUTOEXEC_JOB_SOCK"])'
        return
    done
    return 1
}

# The parts of a question as members of a JSON object: TITLE TYPE MESSAGE OPTIONS ROLE PIPE; OPTIONS is a JSON array.
autoexec_question() {
    printf '"title": %s, "opType": %s, "message": %s, "options": %s, "role": %s, "pipeFile": %s' \
        "$(printf '%s' "$1" | json_string)" "$(printf '%s' "$2" | json_string)" "$(printf '%s' "$3" | json_string)" \
        "${4:-[]}" "$(if [ -n "$5" ]; then printf '%s' "$5" | json_string; else printf null; fi)" \
        "$(printf '%s' "$6" | json_string)"
}

# Where the answer for this node is expected: node_pipe_file JOB_DIRECTORY PHASE
node_pipe_file() {
    printf '%s/log/%s/%s-%s-%s.txt.run.pipe\n' "$1" "$2" "$(node_value host)" "$(node_value port)" "$(node_value resourceId)"
}

# Tells the executor that the node waits for a person: inform_node_wait_input PHASE RESOURCE_ID TITLE TYPE MESSAGE
# OPTIONS ROLE PIPE. With only PHASE and RESOURCE_ID: that it does not wait any more. Never a failure.
inform_node_wait_input() {
    autoexec_phase=$(printf '%s' "$1" | json_string)
    autoexec_node=$(printf '%s' "$2" | json_string)
    if [ $# -gt 2 ]; then
        shift 2
        autoexec_rest="\"clean\": null, \"interact\": {$(autoexec_question "$@")}"
        autoexec_state=waitInput
    else
        autoexec_rest='"clean": 1, "interact": null'
        autoexec_state=running
    fi
    if printf '{"action": "informNodeWaitInput", "phaseName": %s, "resourceId": %s, %s}' \
        "$autoexec_phase" "$autoexec_node" "$autoexec_rest" | autoexec_send; then
        info "Inform runner udpate status to $autoexec_state success."
    else
        warn "Inform runner update status to $autoexec_state failed: socket ${AUTOEXEC_JOB_SOCK:-not defined} can not be reached."
    fi
}

# Asks a person and waits: do_interact TITLE TYPE MESSAGE OPTIONS ROLE PIPE. TYPE is button, input, select or mselect;
# OPTIONS a JSON array. Sets $interact_value and $interact_user. Returns 1 for force-exit. Ends the tool when nobody
# answers within a day.
do_interact() {
    autoexec_pipe=$6
    interact_value='' interact_user=''
    mkdir -p "$(dirname "$autoexec_pipe")" || die 1 "Can not make the directory of $autoexec_pipe."
    rm -f "$autoexec_pipe"
    printf '{%s}\n' "$(autoexec_question "$@")" > "$autoexec_pipe.json" || die 1 "Can not write $autoexec_pipe.json."
    mkfifo -m 700 "$autoexec_pipe" || die 1 "Can not make the pipe $autoexec_pipe."
    trap 'rm -f "$autoexec_pipe" "$autoexec_pipe.json"' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    autoexec_parent=$$
    # The time limit: an empty process that ends us. Open for reading and writing, the pipe never reports its end.
    ( sleep 86400 & autoexec_sleep=$!
      trap 'kill "$autoexec_sleep" 2>/dev/null; exit 0' TERM
      wait "$autoexec_sleep" && kill -USR1 "$autoexec_parent" ) </dev/null >/dev/null 2>&1 &
    autoexec_limit=$!
    trap 'warn "Wait user input timeout or execution aborted."; exit 1' USR1
    exec 9<> "$autoexec_pipe"
    printf '[Wait Interact]%s\n' "$3"
    autoexec_status=0
    while :; do
        IFS= read -r autoexec_line <&9 || { autoexec_status=1; break; }
        case $autoexec_line in
            '['*']# '*)
                interact_user=${autoexec_line#?}
                interact_user=${interact_user%%"]# "*}
                autoexec_line=${autoexec_line#*"]# "} ;;
        esac
        info "Get input:$autoexec_line"
        [ "$autoexec_line" = force-exit ] && { autoexec_status=1; break; }
        if autoexec_valid "$2" "$4" "$autoexec_line"; then
            interact_value=$autoexec_line
            break
        fi
        warn "Invalid input value:$autoexec_line, try again."
    done
    exec 9>&-
    kill "$autoexec_limit" 2>/dev/null
    trap - USR1
    trap - EXIT
    rm -f "$autoexec_pipe" "$autoexec_pipe.json"
    return "$autoexec_status"
}

# Whether VALUE answers a question: autoexec_valid TYPE OPTIONS VALUE
autoexec_valid() {
    case $1 in
        button|select)
            printf '%s' "$2" | json_pairs | autoexec_value=$3 LC_ALL=C awk '
                substr($0, index($0, "\t") + 1) == ENVIRON["autoexec_value"] { found = 1 } END { exit !found }' ;;
        mselect)
            case $3 in '['*']') ;; *) return 1 ;; esac
            { printf '%s' "$2" | json_pairs && echo && printf '%s' "$3" | json_pairs; } 2>/dev/null | LC_ALL=C awk '
                /^$/ { chosen = 1; next }
                { value = substr($0, index($0, "\t") + 1) }
                !chosen { allowed[value] = 1; next }
                { count++; if (!(value in allowed)) bad = 1 }
                END { exit bad || !count }' ;;
        *) return 0 ;;
    esac
}

# --- Changes ------------------------------------------------------------------------------------------------------

# Set by a tool's --check: say what would change, change nothing.
opt_check=0

# Says first that nothing is changed.
tell_check() {
    if is_on "$opt_check"; then info "Check only: nothing is changed."; fi
}

# Prints a command and executes it; with --check prints only. No secret may stand in it.
change() {
    if is_on "$opt_check"; then
        info "Would execute: $*"
        return 0
    fi
    info "Execute: $*"
    "$@"
}

# Copies a file to <file>.<time> beside it; to <file>.<time>.1 and so on where that is taken: an earlier backup is never
# written over, however fast one change follows another. The name is claimed with noclobber, so two tools at the same
# time do not get the same one.
backup_file() {
    autoexec_stamp=$1.$(date +%Y%m%d-%H%M%S)
    autoexec_copy=$autoexec_stamp
    autoexec_number=0
    until (umask 077; set -C; : > "$autoexec_copy") 2>/dev/null; do
        if [ ! -e "$autoexec_copy" ] && [ ! -L "$autoexec_copy" ]; then
            error "Can not create $autoexec_copy."
            return 1
        fi
        autoexec_number=$((autoexec_number + 1))
        autoexec_copy=$autoexec_stamp.$autoexec_number
    done
    cp -p "$1" "$autoexec_copy" || { rm -f "$autoexec_copy"; return 1; }
    info "Backup: $1 -> $autoexec_copy"
}

# Makes FILE have the content of NEW_FILE: put_file FILE NEW_FILE BACKUP. Nothing is written where it has already. The
# file is written in place, which keeps its owner, mode, links and security label. 2: no backup, nothing written.
put_file() {
    if [ -f "$1" ] && cmp -s "$1" "$2"; then
        info "$1 is right already."
        return 0
    fi
    if is_on "$opt_check"; then
        info "Would write $1."
        return 0
    fi
    if is_on "$3" && [ -s "$1" ]; then
        backup_file "$1" || { error "Can not back up $1; it is unchanged."; return 2; }
    fi
    cat "$2" > "$1" || { error "Can not write $1."; return 1; }
    fine "$1 is written."
}
