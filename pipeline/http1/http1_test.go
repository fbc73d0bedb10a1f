package http1_test

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline/http1"
)

const smallest = 16 // bytes, of bufio's buffers

func TestReadHead_GivesTheLinesHoweverTheyArrive(t *testing.T) {
	const head = "GET / HTTP/1.1\r\nHost: a.example\r\nX: 1\r\n"
	for _, whole := range []bool{true, false} {
		for _, size := range []int{smallest, len(head), len(head) + 1, len(head) + 2, 4096} {
			var from io.Reader = strings.NewReader(head + "\r\nrest")
			if !whole {
				from = iotest.OneByteReader(from)
			}
			r := bufio.NewReaderSize(from, size)
			got, _, err := http1.ReadHead(r, nil, len(head))
			require.NoError(t, err, "%d", size)
			assert.Equal(t, head, string(got))
			rest, err := io.ReadAll(r)
			require.NoError(t, err)
			assert.Equal(t, "rest", string(rest))
		}
	}
}

func TestReadHead_RefusesWhatIsNoHead(t *testing.T) {
	var syntax *http1.SyntaxError
	for _, c := range []struct {
		name, text string
		want       func(error) bool
	}{
		{"nothing", "", func(err error) bool { return err == io.EOF }},
		{"a part of a line", "GET /", func(err error) bool { return err == io.ErrUnexpectedEOF }},
		{"no empty line", "GET / HTTP/1.1\r\n", func(err error) bool { return err == io.ErrUnexpectedEOF }},
		{"lines that end in LF", "GET / HTTP/1.1\nHost: a\n\n", func(err error) bool { return errors.As(err, &syntax) }},
		{"one line that ends in LF", "GET / HTTP/1.1\r\nHost: a\n", func(err error) bool { return errors.As(err, &syntax) }},
		{"an empty line without CR", "GET / HTTP/1.1\r\nHost: a\r\n\n", func(err error) bool { return errors.As(err, &syntax) }},
		{"too much", "GET / HTTP/1.1\r\n" + strings.Repeat("X: 1\r\n", 100), func(err error) bool { return err == http1.ErrTooLarge }},
		{"too long a line", strings.Repeat("x", 1000), func(err error) bool { return err == http1.ErrTooLarge }},
	} {
		for _, size := range []int{smallest, 4096} {
			_, _, err := http1.ReadHead(bufio.NewReaderSize(strings.NewReader(c.text), size), nil, 200)
			assert.True(t, c.want(err), "%s: %v", c.name, err)
		}
	}
}

func TestReadHead_AnswersALineWithoutCRBeforeMoreArrives(t *testing.T) {
	r, w := io.Pipe()
	defer r.Close()
	go func() { _, _ = w.Write([]byte("GET / HTTP/1.1\n\n")) }()
	_, _, err := http1.ReadHead(bufio.NewReader(r), nil, 1000)
	assert.EqualError(t, err, "a line ends in LF without CR")
}

func TestParseFields_ReadsNamesAndValues(t *testing.T) {
	header := make(http.Header)
	require.NoError(t, http1.ParseFields("host: a.example\r\nX-Two:1\r\nEMPTY:\r\nx-two: \t2 , 3\t \r\nETag: \"\xfc\"\r\n", header))
	assert.Equal(t, http.Header{
		"Host": {"a.example"}, "X-Two": {"1", "2 , 3"}, "Empty": {""}, "Etag": {"\"\xfc\""},
	}, header)
	for name, values := range header {
		if len(values) == 1 {
			assert.Equal(t, 1, cap(values), "an append to %s would reach another field's value", name)
		}
	}
}

func TestParseFields_NamesWhatIsWrong(t *testing.T) {
	for lines, want := range map[string]string{
		"Host : a\r\n":                 "white space in the name of a field",
		"Ho st: a\r\n":                 "white space in the name of a field",
		" Host: a\r\n":                 "a field line that begins with white space",
		"A: b\r\n c\r\n":               "a field line that begins with white space",
		"A: b\r\n\tc: d\r\n":           "a field line that begins with white space",
		"Host\r\n":                     "a field line without a colon",
		"\r\n":                         "a field line without a colon",
		": a\r\n":                      "a field without a name",
		"H\x00: a\r\n":                 `the character '\x00' in the name of a field`,
		"H\xc3\xbc: a\r\n":             `the character '\u00c3' in the name of a field`,
		"H(: a\r\n":                    `the character '(' in the name of a field`,
		"A: secret\x00\r\n":            `a control character in the value of the field "A"`,
		"A: secret\x7f\r\n":            `a control character in the value of the field "A"`,
		"A: secret\rB: c\r\n":          `a control character in the value of the field "A"`,
		"A: secret\r\r\n":              `a control character in the value of the field "A"`,
		"A: b\n":                       "a line ends in LF without CR",
		"A: b\r\nC: d\nE: f\r\n":       "a line ends in LF without CR",
		"\n":                           "a line ends in LF without CR",
		"A: b":                         "a line ends in LF without CR",
		strings.Repeat("A:\r\n", 1001): "longer than it may be",
	} {
		assert.EqualError(t, http1.ParseFields(lines, make(http.Header)), want, "%.40q", lines)
	}
	assert.NoError(t, http1.ParseFields(strings.Repeat("A:\r\n", 1000), make(http.Header)))
}

func TestLength_FollowsTheFieldsOrRefusesThem(t *testing.T) {
	const both, coding = "both Content-Length and Transfer-Encoding", `a Transfer-Encoding other than "chunked"`
	const several, none = "more than one Content-Length", "a Content-Length that is no number"
	for _, c := range []struct {
		fields            string
		minor             int
		request, response int64
		err               string
	}{
		{"", 1, 0, http1.UntilClose, ""},
		{"Content-Length: 0\r\n", 1, 0, 0, ""},
		{"Content-Length: 12\r\n", 0, 12, 12, ""},
		{"Content-Length: 0012\r\n", 1, 12, 12, ""},
		{"Content-Length: 9223372036854775807\r\n", 1, 1<<63 - 1, 1<<63 - 1, ""},
		{"Content-Length: 9223372036854775808\r\n", 1, 0, 0, none + ", or too large a one"},
		{"Content-Length:\r\n", 1, 0, 0, none + ", or too large a one"},
		{"Content-Length: -1\r\n", 1, 0, 0, none},
		{"Content-Length: +1\r\n", 1, 0, 0, none},
		{"Content-Length: 1 2\r\n", 1, 0, 0, none},
		{"Content-Length: 0x1\r\n", 1, 0, 0, none},
		{"Content-Length: 1_0\r\n", 1, 0, 0, none},
		{"Content-Length: 5, 5\r\n", 1, 0, 0, none},
		{"Content-Length: 5\r\ncontent-length: 5\r\n", 1, 0, 0, several},
		{"Content-Length: 5\r\nContent-Length: 6\r\n", 1, 0, 0, several},
		{"Transfer-Encoding: chunked\r\n", 1, http1.Chunked, http1.Chunked, ""},
		{"Transfer-Encoding: CHUNKED\r\n", 1, http1.Chunked, http1.Chunked, ""},
		{"Transfer-Encoding: chunked\r\n", 0, 0, 0, "Transfer-Encoding in HTTP/1.0"},
		{"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 1, 0, 0, both},
		{"Transfer-Encoding: identity\r\nContent-Length: 5\r\n", 1, 0, 0, both},
		{"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 1, 0, 0, "more than one Transfer-Encoding"},
		{"Transfer-Encoding: gzip, chunked\r\n", 1, 0, 0, coding},
		{"Transfer-Encoding: chunked, identity\r\n", 1, 0, 0, coding},
		{"Transfer-Encoding: xchunked\r\n", 1, 0, 0, coding},
		{"Transfer-Encoding: chunked;a=b\r\n", 1, 0, 0, coding},
		{"Transfer-Encoding:\r\n", 1, 0, 0, coding},
		{"Transfer-Encoding: \x0bchunked\r\n", 1, 0, 0, "-"},
	} {
		header := make(http.Header)
		err := http1.ParseFields(c.fields, header)
		if c.err == "-" {
			assert.Error(t, err, "%q", c.fields)
			continue
		}
		require.NoError(t, err)
		request, err := http1.RequestLength(header, c.minor)
		response, err2 := http1.ContentLength(http.MethodGet, 200, c.minor, header["Content-Length"], header["Transfer-Encoding"])
		if c.err != "" {
			assert.EqualError(t, err, c.err, "%q", c.fields)
			assert.EqualError(t, err2, c.err, "%q", c.fields)
			continue
		}
		assert.NoError(t, err, "%q", c.fields)
		assert.NoError(t, err2, "%q", c.fields)
		assert.Equal(t, c.request, request, "%q", c.fields)
		assert.Equal(t, c.response, response, "%q", c.fields)
	}
}

func TestContentLength_IsNothingWhereAResponseHasNoContent(t *testing.T) {
	for _, c := range []struct {
		method string
		status int
		want   int64
	}{{"HEAD", 200, 0}, {"GET", 204, 0}, {"GET", 304, 0}, {"GET", 200, 5}, {"POST", 404, 5}} {
		n, err := http1.ContentLength(c.method, c.status, 1, []string{"5"}, nil)
		require.NoError(t, err)
		assert.Equal(t, c.want, n, "%s %d", c.method, c.status)
	}
}

func TestContentLength_ChecksTheFieldsWhereTheyDoNotCountToo(t *testing.T) {
	for _, c := range []struct {
		method string
		status int
	}{{"HEAD", 200}, {"GET", 204}, {"GET", 304}} {
		_, err := http1.ContentLength(c.method, c.status, 1, []string{"5", "5"}, nil)
		assert.ErrorAs(t, err, new(*http1.SyntaxError), "%s %d", c.method, c.status)
		_, err = http1.ContentLength(c.method, c.status, 1, nil, []string{"gzip"})
		assert.ErrorAs(t, err, new(http1.CodingError), "%s %d", c.method, c.status)
	}
}

func readChunked(from io.Reader, size int) (content string, trailer http.Header, rest string, err error) {
	r := bufio.NewReaderSize(from, size)
	var c http1.ChunkedReader
	c.Reset(r)
	read, err := io.ReadAll(&c)
	left, _ := io.ReadAll(r)
	return string(read), c.Trailer(), string(left), err
}

func TestChunkedReader_GivesTheContentAndLeavesWhatFollows(t *testing.T) {
	for _, c := range []struct {
		text, content string
		trailer       http.Header
	}{
		{"0\r\n\r\n", "", nil},
		{"5\r\nhello\r\n0\r\n\r\n", "hello", nil},
		{"5\r\nhello\r\n00b\r\n big\r\nworld\r\n000\r\n\r\n", "hello big\r\nworld", nil},
		{"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", nil},
		{"1;a\r\nx\r\n1;a=b;c=\"d;\\\"e\"\r\ny\r\n1 ; a = b\r\nz\r\n0;end\r\n\r\n", "xyz", nil},
		{"1\r\nx\r\n0\r\nA: b\r\nc-d: e\r\nA: f\r\n\r\n", "x", http.Header{"A": {"b", "f"}, "C-D": {"e"}}},
	} {
		for _, size := range []int{smallest, 4096} {
			for name, from := range map[string]io.Reader{
				"whole": strings.NewReader(c.text + "GET /"), "by bytes": iotest.OneByteReader(strings.NewReader(c.text + "GET /")),
			} {
				if size == smallest && strings.Contains(c.text, `c="d`) {
					continue // a line does not fit into such a buffer
				}
				content, trailer, rest, err := readChunked(from, size)
				require.NoError(t, err, "%s %d %q", name, size, c.text)
				assert.Equal(t, c.content, content)
				assert.Equal(t, c.trailer, trailer)
				assert.Equal(t, "GET /", rest)
			}
		}
	}
}

func TestChunkedReader_RefusesWhatIsNotChunked(t *testing.T) {
	const size, extension, bareLF = "a chunk's size is no hexadecimal number", "a chunk's extension is malformed", "a line ends in LF without CR"
	const longer = "a chunk is longer than its size"
	for text, want := range map[string]string{
		"":                               "unexpected EOF",
		"5":                              "unexpected EOF",
		"5\r\nhel":                       "unexpected EOF",
		"5\r\nhello":                     "unexpected EOF",
		"5\r\nhello\r\n":                 "unexpected EOF",
		"5\r\nhello\r\n0\r\n":            "unexpected EOF",
		"0\r\nA: b\r\n":                  "unexpected EOF",
		"\r\n\r\n":                       size,
		"g\r\n":                          size,
		"-1\r\nx\r\n":                    size,
		"+1\r\nx\r\n":                    size,
		"0x1\r\nx\r\n":                   extension,
		" 1\r\nx\r\n":                    size,
		"1 \r\nx\r\n":                    extension,
		"1,1\r\nx\r\n":                   extension,
		"1_0\r\nx\r\n":                   extension,
		"1;\r\nx\r\n":                    extension,
		"1;a=\r\nx\r\n":                  extension,
		"1;a=\"b\r\nx\r\n":               extension,
		"1;a=\"b\\\r\nx\r\n":             extension,
		"1;a b\r\nx\r\n":                 extension,
		"1;a\x00\r\nx\r\n":               extension,
		"1;a\rb\r\nx\r\n":                extension,
		"1\r;\r\nx\r\n":                  extension,
		"1\nx\r\n0\r\n\r\n":              bareLF,
		"1;a\nx\r\n0\r\n\r\n":            bareLF,
		"1\r\nx\n0\r\n\r\n":              longer,
		"1\r\nxy\r\n0\r\n\r\n":           longer,
		"1\r\nx\r\n\r\n0\r\n\r\n":        size,
		"0\r\n\n\n":                      bareLF,
		"0\r\nA : b\r\n\r\n":             "white space in the name of a field",
		"0\r\nA: b\n\n":                  bareLF,
		"FFFFFFFFFFFFFFFF\r\nx":          size,
		"0000000000000001\r\nx\r\n":      size,
		"10000000000000000\r\nx":         size,
		"1;" + strings.Repeat("a", 2000): "longer than it may be",
		strings.Repeat("1;a="+strings.Repeat("b", 900)+"\r\nx\r\n", 30):      "longer than it may be",
		"0\r\n" + strings.Repeat("A: "+strings.Repeat("b", 900)+"\r\n", 100): "longer than it may be",
	} {
		_, _, _, err := readChunked(strings.NewReader(text), 4096)
		assert.EqualError(t, err, want, "%.60q", text)
	}
}

func TestChunkedReader_DoesNotWaitForTheNextChunk(t *testing.T) {
	r, w := io.Pipe()
	defer r.Close()
	var c http1.ChunkedReader
	c.Reset(bufio.NewReader(r))
	for _, written := range []string{"3\r\nabc\r\n", "3\r\nab", "c\r\n"} {
		go func() { _, _ = w.Write([]byte(written)) }()
		p := make([]byte, 10)
		n, err := c.Read(p)
		require.NoError(t, err)
		assert.NotZero(t, n)
	}
}

func TestChunkedReader_GivesTheEndWithTheLastContent(t *testing.T) {
	var c http1.ChunkedReader
	c.Reset(bufio.NewReader(strings.NewReader("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")))
	n, err := c.Read(make([]byte, 10))
	assert.Equal(t, 5, n)
	assert.Equal(t, io.EOF, err)
}

func TestAppendField_NeverWritesALineOfAValue(t *testing.T) {
	assert.Equal(t, "A: b  C: d\r\n", string(http1.AppendField(nil, "A", "b\r\nC: d")))
}

func FuzzChunkedReader(f *testing.F) {
	for _, seed := range []string{
		"5\r\nhello\r\n0\r\n\r\n", "1;a=\"b\"\r\nx\r\n0\r\nA: b\r\n\r\n", "1\nx\n0\n\n", "0x1\r\nx\r\n0\r\n\r\n", "1 \r\nx\r\n0\r\n\r\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		content, _, rest, err := readChunked(strings.NewReader(text), 4096)
		slow, _, slowRest, slowErr := readChunked(iotest.OneByteReader(strings.NewReader(text)), 4096)
		require.Equal(t, err == nil, slowErr == nil, "%v %v", err, slowErr)
		if err != nil {
			return
		}
		require.Equal(t, content, slow)
		require.Equal(t, rest, slowRest)
		// Whatever is taken here, the standard library takes for the same.
		std, err := io.ReadAll(httputil.NewChunkedReader(strings.NewReader(text)))
		require.NoError(t, err, "%q", text)
		require.Equal(t, string(std), content)
	})
}

func FuzzParseFields(f *testing.F) {
	for _, seed := range []string{"A: b\r\n", "a:b\r\nA: c\r\n", "A : b\r\n", "A: b\r\n c\r\n", "A\x00: b\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, lines string) {
		header := make(http.Header)
		if http1.ParseFields(lines, header) != nil {
			return
		}
		std, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET / HTTP/1.0\r\nHost: a\r\n" + lines + "\r\n")))
		if err != nil {
			return // it knows more about some fields
		}
		header.Del("Host")
		for name := range std.Header {
			if name != "Cache-Control" { // which it makes of Pragma
				require.Equal(t, std.Header[name], header[name], "%q", lines)
			}
		}
	})
}

func BenchmarkHead(b *testing.B) {
	const head = "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 22 Nov 2026 22:00:00 GMT\r\nContent-Type: text/plain\r\n" +
		"Content-Length: 1024\r\nLast-Modified: Sun, 22 Nov 2026 22:00:00 GMT\r\nConnection: keep-alive\r\nETag: \"6560a0b0-400\"\r\n" +
		"Accept-Ranges: bytes\r\n\r\n"
	b.ReportAllocs()
	text := strings.NewReader(head)
	r := bufio.NewReader(text)
	header := make(http.Header)
	for b.Loop() {
		text.Reset(head)
		r.Reset(text)
		read, _, err := http1.ReadHead(r, nil, 1<<16)
		if err != nil {
			b.Fatal(err)
		}
		clear(header)
		_, lines, _ := http1.CutLine(string(read))
		if err := http1.ParseFields(lines, header); err != nil {
			b.Fatal(err)
		}
	}
}
