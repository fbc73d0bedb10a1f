package transport

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// heads reads heads up to the final one, which it gives last.
func (c *wire) heads() []string {
	var all []string
	for {
		head := c.head()
		all = append(all, head)
		if !strings.HasPrefix(head, "HTTP/1.1 1") {
			return all
		}
	}
}

func TestTransport_PassesInformationalResponsesOn(t *testing.T) {
	front := newFront(t, answering(t, "HTTP/1.1 100 Continue\r\n\r\n"+
		"HTTP/1.1 102 Processing\r\n\r\n"+
		"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\nConnection: X-Named\r\nX-Named: 1\r\n\r\n"+
		"HTTP/1.1 103 Early Hints\r\nLink: </c>\r\n\r\n"+
		"HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 0\r\n\r\n"), setting{})
	c := front.connect(t)
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	assert.Equal(t, []string{
		"HTTP/1.1 102 Processing\r\n",
		"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n",
		"HTTP/1.1 103 Early Hints\r\nLink: </c>\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: x\r\n",
	}, c.heads())
	assert.Equal(t, 200, front.state(t).Status)
}

func TestTransport_PassesInformationalResponsesOnOverHTTP2(t *testing.T) {
	front := newFront(t, newSecureBackend(t, nil, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a>")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
	}), setting{secure: true})
	var got []string
	request := front.request(t, "GET", "/", nil)
	request = request.WithContext(httptrace.WithClientTrace(request.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(status int, header textproto.MIMEHeader) error {
			got = append(got, http.StatusText(status)+" "+header.Get("Link"))
			return nil
		},
	}))
	response, _ := front.do(t, request)
	assert.Equal(t, []string{"Early Hints </a>"}, got)
	assert.NotContains(t, response.Header, "Link")
}

func TestTransport_PassesNoInformationalResponseToHTTP10(t *testing.T) {
	front := newFront(t, answering(t, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"+ok("x")), setting{})
	c := front.connect(t)
	c.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n")
	assert.True(t, strings.HasPrefix(c.head(), "HTTP/1.0 200 OK\r\n"))
}

func TestTransport_BoundsInformationalResponses(t *testing.T) {
	front := newFront(t, answering(t, strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", maxInformational+1)+ok("")), setting{})
	c := front.connect(t)
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	heads := c.heads()
	assert.Len(t, heads, maxInformational+1)
	assert.True(t, strings.HasPrefix(heads[maxInformational], "HTTP/1.1 502 "), heads[maxInformational])
	assert.Contains(t, front.log.String(), "informational responses")
}

func TestTransport_AsksForABodyWhenTheBackendDoes(t *testing.T) {
	ask := make(chan struct{})
	front := newFront(t, newRawBackend(t, func(c *wire) {
		head := c.head()
		if head == "" {
			return
		}
		assert.Contains(t, head, "Expect: 100-continue\r\n")
		<-ask
		c.send("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n")
		assert.Equal(t, "body", c.exactly(4))
		c.send(ok("thanks"))
	}), setting{options: Options{ContinueTimeout: patience}})
	c := front.connect(t)
	c.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
	require.NoError(t, c.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
	_, err := c.Peek(1)
	require.Error(t, err, "asked before the backend did")
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	close(ask)
	got := map[string]int{}
	for range 3 { // the last 103 may come before or after
		got[c.head()]++
	}
	assert.Equal(t, map[string]int{"HTTP/1.1 100 Continue\r\n": 1, "HTTP/1.1 103 Early Hints\r\n": 2}, got)
	c.send("body")
	response, err := http.ReadResponse(c.Reader, nil)
	require.NoError(t, err)
	body, _ := io.ReadAll(response.Body)
	assert.Equal(t, "thanks", string(body))
	assert.False(t, response.Close && response.ContentLength < 0)
}

func TestTransport_AsksForNoBodyThatTheBackendDoesNotWant(t *testing.T) {
	for _, framing := range []string{"Content-Length: 4", "Transfer-Encoding: chunked"} {
		for range 10 { // a race, where it is wrong
			front := newFront(t, newRawBackend(t, func(c *wire) {
				if c.head() != "" {
					c.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
					assert.Empty(t, c.rest(), "of the body")
				}
			}), setting{options: Options{ContinueTimeout: patience}})
			c := front.connect(t)
			c.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n" + framing + "\r\n\r\n")
			heads := c.heads()
			require.Len(t, heads, 1)
			require.True(t, strings.HasPrefix(heads[0], "HTTP/1.1 401 "), heads[0])
			require.Contains(t, heads[0], "Connection: close\r\n")
			require.Equal(t, "no", c.exactly(2))
			c.Conn.Close()
			require.Nil(t, front.state(t).Failure)
		}
	}
}

func TestTransport_AsksForABodyWhereTheBackendSaysNothing(t *testing.T) {
	each(t, func(t *testing.T, secure bool) {
		front := newFront(t, newRawBackend(t, func(c *wire) {
			if c.head() != "" {
				assert.Equal(t, "body", c.exactly(4))
				c.send(ok("thanks"))
			}
		}), setting{options: Options{ContinueTimeout: 50 * time.Millisecond}, secure: secure})
		c := front.connect(t)
		c.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
		assert.Equal(t, "HTTP/1.1 100 Continue\r\n", c.head())
		c.send("body")
		assert.True(t, strings.HasPrefix(c.head(), "HTTP/1.1 200 OK\r\n"))
	})
}

func TestTransport_AsksForABodyOverHTTP2(t *testing.T) {
	front := newFront(t, newSecureBackend(t, nil, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	}), setting{secure: true, options: Options{ContinueTimeout: patience}})
	front.Client().Transport.(*http.Transport).ExpectContinueTimeout = patience
	request := front.request(t, "POST", "/", strings.NewReader("body"))
	request.Header.Set("Expect", "100-continue")
	_, body := front.do(t, request)
	assert.Equal(t, "body", body)
}
