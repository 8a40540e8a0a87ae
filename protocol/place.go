package protocol

import "fmt"

// Place says for a person where byte i of a text in UTF-8 is: "line 3, column 5", both from 1, a column being a character.
func Place[T string | []byte](text T, i int) string {
	line, column := 1, 1
	for at := range min(i, len(text)) {
		switch c := text[at]; {
		case c == '\n':
			line, column = line+1, 1
		case c&0xC0 != 0x80: // it begins a character
			column++
		}
	}
	return fmt.Sprintf("line %d, column %d", line, column)
}
