# Helper functions for target scripts in POSIX sh. Source it: . "$(dirname "$0")/../lib/autoexec.sh"
#
# Lines that start with INFO:, WARN:, ERROR: or FINE: are shown with their type. Outputs go to output.json beside the
# tool; the executor fetches it when the tool ends with 0.

info()  { printf 'INFO: %s\n' "$*"; }
warn()  { printf 'WARN: %s\n' "$*"; }
error() { printf 'ERROR: %s\n' "$*"; }
fine()  { printf 'FINE: %s\n' "$*"; }

# Ends the tool with an error: die CODE TEXT
die() {
    die_code=$1
    shift
    error "$*"
    exit "$die_code"
}

# The text of standard input as a JSON string, with quotes.
json_string() {
    awk 'BEGIN { printf "\"" }
    NR > 1 { printf "\\n" }
    {
        gsub(/\\/, "\\\\"); gsub(/"/, "\\\""); gsub(/\t/, "\\t"); gsub(/\r/, "\\r")
        gsub(/[\001-\010\013\014\016-\037]/, "")
        printf "%s", $0
    }
    END { printf "\"" }'
}

# Writes the outputs, standard input being a JSON object. The whole file is replaced.
save_output() {
    cat > output.json.new && mv -f output.json.new output.json || die 1 "Can not write output.json in $(pwd)."
}

# A text area arrives with the two characters \n for each line break; this gives one line per entry, blanks trimmed,
# empty ones left out.
lines_of() {
    for lines_of_text in "$@"; do
        printf '%s\n' "$lines_of_text" | awk '{ gsub(/\\n/, "\n"); print }'
    done | sed 's/^[[:space:]]*//; s/[[:space:]]*$//; /^$/d'
}

is_on() {
    case $1 in 1|true|yes) return 0 ;; *) return 1 ;; esac
}
