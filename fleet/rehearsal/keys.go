package rehearsal

import _ "embed"

// Keys says what each key of a rehearsal's result means, a key a line, by its path: "*" stands for keys that are data (a platform, a
// rule), "[]" for the elements of a list. A test holds it against what is written.
//
//go:embed keys.txt
var Keys string
