package http1_test

import (
	"bufio"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline/http1"
)

func TestParseStatusLine_TakesWhatIsOne(t *testing.T) {
	for line, want := range map[string][2]int{
		"HTTP/1.1 200 OK":         {1, 200},
		"HTTP/1.0 404 Not Found":  {0, 404},
		"HTTP/1.1 200":            {1, 200},
		"HTTP/1.1 200 ":           {1, 200},
		"HTTP/1.1 100 \xfc\tx  y": {1, 100},
		"HTTP/1.1 999 Odd":        {1, 999},
	} {
		minor, status, err := http1.ParseStatusLine(line)
		require.NoError(t, err, "%q", line)
		assert.Equal(t, want, [2]int{minor, status}, "%q", line)
	}
}

func TestParseStatusLine_RefusesWhatIsNone(t *testing.T) {
	for _, line := range []string{
		"", "HTTP", "HTTP/1.1", "HTTP/1.1 ", "HTTP/1.1 20", "HTTP/1.1 2000", "HTTP/1.1 20 OK", "HTTP/1.1 2x0 OK", "HTTP/1.1 +20 OK",
		"HTTP/1.1 099 Low", "HTTP/1.1  200 OK", " HTTP/1.1 200 OK", "HTTP/1.1\t200 OK", "HTTP/1.1 200\tOK", "HTTP/1.1 200OK",
		"HTTP/1.2 200 OK", "HTTP/2.0 200 OK", "HTTP/0.9 200 OK", "HTTP/1.10 200 OK", "HTTP/1 200 OK", "http/1.1 200 OK", "ICY 200 OK",
		"HTTP/1.1 200 O\x00K", "HTTP/1.1 200 O\rK", "HTTP/1.1 200 OK\x7f",
	} {
		_, _, err := http1.ParseStatusLine(line)
		var syntax *http1.SyntaxError
		assert.ErrorAs(t, err, &syntax, "%q", line)
	}
}

func TestAppendFields_GivesWhatParseFieldsDoes(t *testing.T) {
	for _, lines := range []string{
		"", "A: b\r\n", "host: a\r\nX-Two:1\r\nEMPTY:\r\nx-two: \t2 \r\n", "A : b\r\n", "A: b\r\n c\r\n", "A: b\n", "A: b", "A\r\n",
		strings.Repeat("A:\r\n", 1000), strings.Repeat("A:\r\n", 1001),
	} {
		header := make(http.Header)
		want := http1.ParseFields(lines, header)
		fields, err := http1.AppendFields([]http1.Field{{"Before", "x"}}, lines)
		assert.Equal(t, want, err, "%.40q", lines)
		assert.Equal(t, http1.Field{Name: "Before", Value: "x"}, fields[0])
		if want != nil {
			continue
		}
		got := make(http.Header)
		for _, f := range fields[1:] {
			got[f.Name] = append(got[f.Name], f.Value)
		}
		assert.Equal(t, header, got)
	}
}

func FuzzParseStatusLine(f *testing.F) {
	for _, seed := range []string{"HTTP/1.1 200 OK", "HTTP/1.0 404", "HTTP/1.1 2x0", "HTTP/2.0 200 OK"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		minor, status, err := http1.ParseStatusLine(line)
		if err != nil {
			return
		}
		std, err := http.ReadResponse(bufio.NewReader(strings.NewReader(line+"\r\n\r\n")), nil)
		require.NoError(t, err, "%q", line)
		require.Equal(t, std.ProtoMinor, minor)
		require.Equal(t, std.StatusCode, status)
	})
}
