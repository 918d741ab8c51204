package bytecode

import (
	"fmt"
	"strconv"
	"strings"
)

// AsmError is a fault in assembler text.
type AsmError struct {
	Line, Col int // from 1 on; bytes
	Msg       string
}

func (e *AsmError) Error() string { return fmt.Sprintf("line %d:%d: %s", e.Line, e.Col, e.Msg) }

// token is a word, a quoted string or a punctuation mark.
type token struct {
	kind byte // 'w', 's' or the mark itself
	text string
	col  int
}

// asmLine is a line's tokens and how far they have been read. An error panics with *AsmError; Assemble, the only entry, catches it.
type asmLine struct {
	num    int
	tokens []token
	pos    int
}

const asmMarks = ",{}()=:#"

func lexLine(num int, s string) *asmLine {
	l := &asmLine{num: num}
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == ' ' || c == '\t' || c == '\r':
			i++
		case c == ';':
			return l
		case c == '"':
			quoted, err := strconv.QuotedPrefix(s[i:])
			if err != nil {
				l.failAt(i+1, "bad string")
			}
			text, _ := strconv.Unquote(quoted)
			l.tokens = append(l.tokens, token{'s', text, i + 1})
			i += len(quoted)
		case strings.IndexByte(asmMarks, c) >= 0:
			l.tokens = append(l.tokens, token{c, s[i : i+1], i + 1})
			i++
		default:
			n := strings.IndexAny(s[i:], " \t\r;\""+asmMarks)
			if n < 0 {
				n = len(s) - i
			}
			l.tokens = append(l.tokens, token{'w', s[i : i+n], i + 1})
			i += n
		}
	}
	return l
}

func (l *asmLine) failAt(col int, format string, args ...any) {
	panic(&AsmError{l.num, col, fmt.Sprintf(format, args...)})
}

func (l *asmLine) fail(format string, args ...any) {
	col := 1
	if l.pos < len(l.tokens) {
		col = l.tokens[l.pos].col
	} else if n := len(l.tokens); n > 0 {
		col = l.tokens[n-1].col + len(l.tokens[n-1].text)
	}
	l.failAt(col, format, args...)
}

func (l *asmLine) more() bool { return l.pos < len(l.tokens) }

// peek returns the kind of the next token, 0 at the end.
func (l *asmLine) peek() byte {
	if !l.more() {
		return 0
	}
	return l.tokens[l.pos].kind
}

// accept passes over a mark if it comes next.
func (l *asmLine) accept(mark byte) bool {
	if l.peek() != mark {
		return false
	}
	l.pos++
	return true
}

func (l *asmLine) expect(mark byte) {
	if !l.accept(mark) {
		l.fail("%q expected", string(mark))
	}
}

func (l *asmLine) end() {
	if l.more() {
		l.fail("unexpected %q", l.tokens[l.pos].text)
	}
}

// word reads a word that is not quoted.
func (l *asmLine) word() string {
	if l.peek() != 'w' {
		l.fail("word expected")
	}
	l.pos++
	return l.tokens[l.pos-1].text
}

// isWord says whether the next token is this word, and passes over it if so.
func (l *asmLine) isWord(text string) bool {
	if l.peek() == 'w' && l.tokens[l.pos].text == text {
		l.pos++
		return true
	}
	return false
}

// name reads a word or a string.
func (l *asmLine) name() string {
	if k := l.peek(); k != 'w' && k != 's' {
		l.fail("name expected")
	}
	l.pos++
	return l.tokens[l.pos-1].text
}

// number reads an unsigned integer of at most limit.
func (l *asmLine) number(limit uint64) uint64 {
	text := l.word()
	v, err := strconv.ParseUint(text, 0, 64)
	if err != nil || v > limit {
		l.pos--
		l.fail("%q is not a number from 0 to %d", text, limit)
	}
	return v
}

// signed reads an integer of n bits, with or without a sign.
func (l *asmLine) signed(bits int) int64 {
	text := l.word()
	v, err := strconv.ParseInt(text, 0, bits)
	if err != nil {
		l.pos--
		l.fail("%q is not an integer of %d bits", text, bits)
	}
	return v
}

// attrs reads `key=value` and `flag` until the end of the line or a brace. A value is read by the function given for the key; flags have
// functions that read nothing.
func (l *asmLine) attrs(known map[string]func()) {
	for l.more() && l.peek() != '{' {
		key := l.word()
		read := known[key]
		value := known[key+"="]
		switch {
		case value != nil && l.accept('='):
			value()
		case read != nil:
			read()
		default:
			l.pos--
			l.fail("unknown attribute %q", key)
		}
	}
}
