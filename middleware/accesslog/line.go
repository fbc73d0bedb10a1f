package accesslog

import (
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxValue is how many bytes of a value a line has.
const maxValue = 2048

// line appends keys and values to a buffer as slog's TextHandler or JSONHandler would, in the same bytes. It is for keys
// that need no quoting.
type line struct {
	buf  []byte
	json bool
}

func (l *line) begin(t time.Time) {
	if l.json {
		l.buf = append(l.buf, `{"time":"`...)
		l.buf = t.AppendFormat(l.buf, time.RFC3339Nano)
		l.buf = append(l.buf, `","level":"INFO","msg":"request"`...)
		return
	}
	l.buf = append(l.buf, "time="...)
	l.buf = appendMillis(l.buf, t)
	l.buf = append(l.buf, " level=INFO msg=request"...)
}

func (l *line) end() {
	if l.json {
		l.buf = append(l.buf, '}')
	}
	l.buf = append(l.buf, '\n')
}

func (l *line) key(key string) {
	if l.json {
		l.buf = append(l.buf, ',', '"')
		l.buf = append(l.buf, key...)
		l.buf = append(l.buf, '"', ':')
		return
	}
	l.buf = append(l.buf, ' ')
	l.buf = append(l.buf, key...)
	l.buf = append(l.buf, '=')
}

func (l *line) int(key string, value int64) {
	l.key(key)
	l.buf = strconv.AppendInt(l.buf, value, 10)
}

func (l *line) true(key string) {
	l.key(key)
	l.buf = append(l.buf, "true"...)
}

// duration is in nanoseconds in JSON, as slog has it.
func (l *line) duration(key string, value time.Duration) {
	if l.json {
		l.int(key, int64(value))
		return
	}
	l.key(key)
	l.buf = appendDuration(l.buf, value)
}

func (l *line) string(key, value string) {
	l.key(key)
	cut := len(value) > maxValue
	if cut {
		end := maxValue
		for end > maxValue-utf8.UTFMax && !utf8.RuneStart(value[end]) {
			end--
		}
		value = value[:end]
	}
	switch {
	case l.json:
		l.buf = append(l.buf, '"')
		l.buf = appendEscaped(l.buf, value)
		l.buf = append(l.buf, mark(cut)...)
		l.buf = append(l.buf, '"')
	case isPlain(value):
		l.buf = append(l.buf, value...)
		l.buf = append(l.buf, mark(cut)...)
	case !needsEscapes(value): // such as TLS 1.3
		l.buf = append(append(l.buf, '"'), value...)
		l.buf = append(append(l.buf, mark(cut)...), '"')
	default:
		l.buf = strconv.AppendQuote(l.buf, value)
		if cut {
			l.buf = append(append(l.buf[:len(l.buf)-1], mark(true)...), '"')
		}
	}
}

// mark is what stands in the place of what was cut off.
func mark(cut bool) string {
	if cut {
		return "…"
	}
	return ""
}

// isUnquoted says whether an ASCII character stands for itself in text. A backslash does: there are no escapes without quotes.
func isUnquoted(c byte) bool { return c > ' ' && c != '"' && c != '=' }

// isPlain says whether a value needs no quotes in text.
func isPlain(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= utf8.RuneSelf {
			return isPrintable(s[i:])
		} else if !isUnquoted(c) {
			return false
		}
	}
	return s != ""
}

// needsEscapes says whether a value is more than quotes around it make right.
func needsEscapes(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return true
		}
	}
	return false
}

// isPrintable is [isPlain] for what is not all ASCII.
func isPrintable(s string) bool {
	for _, r := range s {
		if r < utf8.RuneSelf {
			if !isUnquoted(byte(r)) {
				return false
			}
		} else if r == utf8.RuneError || unicode.IsSpace(r) || !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// appendEscaped appends what stands between the quotes of a JSON string (RFC 8259, section 7). What is not UTF-8 becomes
// U+FFFD; U+2028 and U+2029 are escaped because they end a line for some readers.
func appendEscaped(buf []byte, s string) []byte {
	const digits = "0123456789abcdef"
	written := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			i++
			if c >= ' ' && c != '"' && c != '\\' {
				continue
			}
			buf = append(buf, s[written:i-1]...)
			written = i
			switch c {
			case '"', '\\':
				buf = append(buf, '\\', c)
			case '\n':
				buf = append(buf, `\n`...)
			case '\r':
				buf = append(buf, `\r`...)
			case '\t':
				buf = append(buf, `\t`...)
			default:
				buf = append(buf, '\\', 'u', '0', '0', digits[c>>4], digits[c&0xf])
			}
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		switch {
		case r == utf8.RuneError && size == 1:
			buf = append(append(buf, s[written:i-size]...), `\ufffd`...)
			written = i
		case r == '\u2028', r == '\u2029':
			buf = append(append(buf, s[written:i-size]...), `\u202`...)
			buf = append(buf, digits[r&0xf])
			written = i
		}
	}
	return append(buf, s[written:]...)
}

// appendMillis appends a time in RFC 3339 with exactly three digits of a second. Only the layouts of package time itself
// are fast, and none of them has these.
func appendMillis(buf []byte, t time.Time) []byte {
	at := len(buf) + len("2006-01-02T15:04:05")
	buf = t.AppendFormat(buf, time.RFC3339)
	buf = append(buf, ".000"...)
	copy(buf[at+len(".000"):], buf[at:]) // the zone
	millis := t.Nanosecond() / int(time.Millisecond)
	copy(buf[at:], []byte{'.', byte('0' + millis/100), byte('0' + millis/10%10), byte('0' + millis%10)})
	return buf
}

// appendDuration appends what [time.Duration.String] gives, without the string.
func appendDuration(buf []byte, d time.Duration) []byte {
	if d < 0 || d >= time.Minute { // rare, and the format has another part for each unit
		return append(buf, d.String()...)
	}
	var unit time.Duration
	var name string
	switch {
	case d == 0:
		return append(buf, "0s"...)
	case d < time.Microsecond:
		unit, name = time.Nanosecond, "ns"
	case d < time.Millisecond:
		unit, name = time.Microsecond, "µs"
	case d < time.Second:
		unit, name = time.Millisecond, "ms"
	default:
		unit, name = time.Second, "s"
	}
	buf = strconv.AppendInt(buf, int64(d/unit), 10)
	if rest := d % unit; rest != 0 {
		buf = append(buf, '.')
		for ; rest != 0; rest %= unit {
			unit /= 10
			buf = append(buf, byte('0'+rest/unit))
		}
	}
	return append(buf, name...)
}
