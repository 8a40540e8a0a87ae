package population

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The bounds of an export's rows (HST-004, HST-122).
const (
	maxRow   = 1 << 20
	maxDepth = 64

	maxCounted = 1 << 40 // of an @odata.count
)

// A place is where something is in a file, counted from 1.
type place struct{ line, column int }

// An elements reads records, one after the other, from any of the forms in which Graph's answers are saved: a page
// ({"value": [...]}), several pages, a bare array, one object a line. It holds one record in memory. encoding/json
// reads each record afterwards; it can neither say where a record was nor skip one that is too long.
type elements struct {
	r     *bufio.Reader
	at    place // of the byte read last
	depth int   // of arrays and pages around the record
	buf   []byte

	more, last int // pages so far that name another one, and that do not
	rows       int // records so far, bad ones among them
	counted    int // the highest @odata.count of a page
}

func newElements(r io.Reader) *elements {
	return &elements{r: bufio.NewReaderSize(r, 64<<10), at: place{1, 0}}
}

var (
	errLong  = fmt.Errorf("a record is at most %d bytes", maxRow)
	errDeep  = fmt.Errorf("nested more than %d deep", maxDepth)
	errStray = errors.New("want an object {...} here")
	errCut   = errors.New("the file ends inside this record")
	errOpen  = errors.New("the file ends inside this list")
	errEnd   = errors.New("nothing more to read") // what is wrong has been told
)

// stop tells that reading ended inside what began at start.
func (e *elements) stop(bad func(place, error) error, start place, err error) error {
	if err == io.EOF {
		err = errCut
	}
	if err := bad(start, err); err != nil {
		return err
	}
	return errEnd
}

func (e *elements) next() (byte, error) {
	c, err := e.r.ReadByte()
	if err != nil {
		return 0, err
	}
	if c == '\n' {
		e.at.line++
		e.at.column = 0
	} else {
		e.at.column++
	}
	return c, nil
}

func (e *elements) peek() (byte, error) {
	b, err := e.r.Peek(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

// read calls take for each record, and bad for each that cannot be one. It stops at the end of the file or when one
// of the two returns an error. raw is used again.
func (e *elements) read(take func(raw []byte, at place) error, bad func(at place, err error) error) error {
	stray := false
	open, lists := place{}, 0 // bare arrays that have not ended, the outermost at open
	for {
		c, err := e.next()
		switch {
		case err == io.EOF && lists > 0:
			return bad(open, errOpen)
		case err == io.EOF:
			return nil
		case err != nil:
			return bad(e.at, err)
		case c == '{':
			stray = false
			if err := e.object(take, bad); err == errEnd {
				return nil
			} else if err != nil {
				return err
			}
		case c == '[' || c == ']' || c == ',' || c == ' ' || c == '\t' || c == '\r' || c == '\n':
			stray = stray && c != '\n' && c != ','
			switch c {
			case '[':
				if lists++; lists == 1 {
					open = e.at
				}
			case ']':
				lists = max(0, lists-1)
			}
		case !stray: // once for each run of them
			stray = true
			if err := bad(e.at, errStray); err != nil {
				return err
			}
		}
	}
}

// object reads one object whose brace has been read: a record, or a page whose records are in "value".
func (e *elements) object(take func([]byte, place) error, bad func(place, error) error) error {
	start := e.at
	e.buf = append(e.buf[:0], '{')
	depth, page, more := 1, false, false
	var wrong error
	key, inKey := "", true
	count := -1 // @odata.count as far as it was read; -1: none is being read
	for depth > 0 {
		c, err := e.next()
		if err != nil {
			return e.stop(bad, start, err)
		}
		switch {
		case page:
		case len(e.buf) < maxRow:
			e.buf = append(e.buf, c)
		case wrong == nil:
			wrong = errLong
		}
		if count >= 0 && c >= '0' && c <= '9' {
			count = min(count*10+int(c-'0'), maxCounted)
		}
		switch c {
		case '"':
			text, err := e.text(page)
			if err != nil {
				return e.stop(bad, start, err)
			}
			if depth == 1 && inKey {
				key = text
			}
		case ':':
			if depth == 1 {
				inKey = false
				c, _ := e.afterSpace(page)
				more = more || c == '"' && strings.EqualFold(key, "@odata.nextLink")
				if strings.EqualFold(key, "@odata.count") {
					count = 0
				}
				if c == '[' && strings.EqualFold(key, "value") {
					page, wrong = true, nil
					if err := e.page(take, bad); err != nil {
						return err
					}
				}
			}
		case ',':
			inKey = inKey || depth == 1
			e.counted, count = max(e.counted, count), -1
		case '{', '[':
			if depth++; depth > maxDepth && wrong == nil {
				wrong = errDeep
			}
		case '}', ']':
			depth--
			e.counted, count = max(e.counted, count), -1
		}
	}
	if !page {
		e.rows++
	}
	switch {
	case page && more:
		e.more++
		return nil
	case page:
		e.last++
		return nil
	case wrong != nil:
		return bad(start, wrong)
	}
	return take(e.buf, start)
}

// text reads the rest of a string and returns its first bytes, enough for a key.
func (e *elements) text(page bool) (string, error) {
	var first [32]byte
	n, escaped := 0, false
	for {
		c, err := e.next()
		if err != nil {
			return "", err
		}
		if !page && len(e.buf) < maxRow {
			e.buf = append(e.buf, c)
		}
		switch {
		case escaped:
			escaped = false
		case c == '\\':
			escaped = true
		case c == '"':
			return string(first[:n]), nil
		case n < len(first):
			first[n] = c
			n++
		}
	}
}

// afterSpace looks at the next byte that is not white space.
func (e *elements) afterSpace(page bool) (byte, error) {
	for {
		c, err := e.peek()
		if err != nil || c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return c, err
		}
		if _, err := e.next(); err != nil {
			return 0, err
		}
		if !page && len(e.buf) < maxRow {
			e.buf = append(e.buf, c)
		}
	}
}

// page reads the records of a page up to the bracket that closes them.
func (e *elements) page(take func([]byte, place) error, bad func(place, error) error) error {
	start := e.at
	if e.depth++; e.depth > maxDepth {
		return bad(start, errDeep)
	}
	defer func() { e.depth-- }()
	stray := false
	for first := true; ; first = false {
		c, err := e.next()
		switch {
		case err != nil:
			return e.stop(bad, start, err)
		case first && c == '[', c == ',' || c == ' ' || c == '\t' || c == '\r' || c == '\n':
			stray = stray && c != ',' && c != '\n'
		case c == ']':
			return nil
		case c == '{':
			stray = false
			if err := e.object(take, bad); err != nil {
				return err
			}
		case !stray:
			stray = true
			if err := bad(e.at, errStray); err != nil {
				return err
			}
		}
	}
}
