package servertest

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// ownDate is a Date that is a handler's.
const ownDate = "never"

func say(w http.ResponseWriter, text string) { _, _ = io.WriteString(w, text) }

// flush fails for HEAD with net/http's server of HTTP/2 once it has ended the answer; nobody sees what its handler does then.
func flush(w http.ResponseWriter) {
	if err := http.NewResponseController(w).Flush(); err != nil {
		panic(err)
	}
}

// otherwise is what a handler panics with that does not find what it has to.
const otherwise = "it is otherwise than over net/http"

// Must has a handler fail unless something is as it is over net/http's server: its client gets another answer then.
func Must(ok bool) {
	if !ok {
		panic(otherwise)
	}
}

// Saying sets fields, which are given as names and values, and writes a text.
func Saying(text string, fields ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(fields); i += 2 {
			w.Header().Add(fields[i], fields[i+1])
		}
		say(w, text)
	}
}

// ParityHandlers are handlers by what they do. What a client gets of each has to be what it gets from net/http's server, over
// any version of HTTP and for any request whose content, if it has some, is not long.
func ParityHandlers() map[string]http.HandlerFunc {
	long := Pattern(1, 200<<10)
	return map[string]http.HandlerFunc{
		"nothing":           func(http.ResponseWriter, *http.Request) {},
		"a status":          func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) },
		"an unknown status": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(777) },
		"short content":     Saying("hello"),
		"empty content":     Saying(""),
		"HTML":              Saying("<html><body>hello"),
		"an error":          func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", 500) },
		"a redirect":        func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusFound) },
		"long content":      Saying(long),
		"content in two pieces": func(w http.ResponseWriter, _ *http.Request) {
			say(w, "<html>")
			say(w, long)
		},
		"content in many pieces": func(w http.ResponseWriter, _ *http.Request) {
			for at := 0; at < len(long); at += 77 {
				say(w, long[at:min(at+77, len(long))])
			}
		},
		"no type at all": func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			say(w, "hello")
		},
		"a type":             Saying("hello", "Content-Type", "a/b"),
		"a coding":           Saying("<html>", "Content-Encoding", "gzip"),
		"a date":             Saying("hello", "Date", ownDate),
		"several of a field": func(w http.ResponseWriter, _ *http.Request) { w.Header()["X-A"] = []string{"1", "2", ""} },
		"cookies": func(w http.ResponseWriter, _ *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
			http.SetCookie(w, &http.Cookie{Name: "b", Value: "2"})
		},
		"a field in small letters": func(w http.ResponseWriter, _ *http.Request) { w.Header()["x-small"] = []string{"1"} },
		"flushed":                  func(w http.ResponseWriter, _ *http.Request) { say(w, "he"); flush(w); say(w, "llo"); flush(w) },
		"a flush before all":       func(w http.ResponseWriter, _ *http.Request) { flush(w); say(w, "hello") },
		"nothing but a flush":      func(w http.ResponseWriter, _ *http.Request) { flush(w) },
		"an old flush":             func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush(); say(w, "hello") },
		"a length":                 Saying("hello", "Content-Length", "5"),
		"a length and a flush": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			say(w, "hello")
			flush(w)
			say(w, "world")
			flush(w)
		},
		"a length of long content": Saying(long, "Content-Length", "204800"),
		"a length of nothing":      func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "0") },
		"less than the length":     Saying("hello", "Content-Length", "10"),
		"nothing of the length":    func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "10") },
		"no content": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(204)
			_, err := io.WriteString(w, "hello")
			Must(errors.Is(err, http.ErrBodyNotAllowed))
		},
		"no content, with a type": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "a/b")
			w.WriteHeader(204)
		},
		"not modified": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			w.Header().Set("Etag", `"x"`)
			w.WriteHeader(304)
			_, err := io.WriteString(w, "hello")
			Must(errors.Is(err, http.ErrBodyNotAllowed))
		},
		"trailers": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-Sum, x-other")
			say(w, "hello")
			flush(w)
			w.Header().Set("X-Sum", "5")
			w.Header().Set("X-Other", "6")
			w.Header().Set("X-None", "7")
		},
		"trailers that are announced line by line": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Add("Trailer", "X-Sum")
			w.Header().Add("Trailer", "X-Other")
			say(w, long)
			w.Header()["X-Sum"] = []string{"1", "2"}
			w.Header().Set("X-Other", "6")
		},
		"trailers that do not come": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			say(w, "hello")
			flush(w)
		},
		"trailers that nobody announced": func(w http.ResponseWriter, _ *http.Request) {
			say(w, "hello")
			flush(w)
			w.Header().Set(http.TrailerPrefix+"X-Sum", "5")
		},
		"trailers set before": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(http.TrailerPrefix+"X-Sum", "5")
			say(w, "hello")
			flush(w)
		},
		"trailers behind a length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			w.Header().Set("Trailer", "X-Sum")
			say(w, "hello")
			w.Header().Set("X-Sum", "5")
		},
		"trailers that may be none": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "Content-Length, X-Sum")
			say(w, "hello")
			flush(w)
			w.Header().Set("X-Sum", "5")
		},
		"trailers only": func(w http.ResponseWriter, _ *http.Request) { // as gRPC fails
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Grpc-Status", "5")
			w.Header().Set("Grpc-Message", "no such thing")
			w.WriteHeader(200)
		},
		"a head and trailers": func(w http.ResponseWriter, _ *http.Request) { // as gRPC succeeds with nothing to say
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Trailer", "Grpc-Status")
			w.WriteHeader(200)
			flush(w)
			w.Header().Set("Grpc-Status", "0")
		},
		"fields set too late": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Early", "1")
			w.WriteHeader(200)
			w.Header().Set("X-Late", "2")
			w.Header().Del("X-Early")
			say(w, "hello")
		},
		"a second status":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201); w.WriteHeader(202) },
		"a status after all":    func(w http.ResponseWriter, _ *http.Request) { say(w, "hello"); flush(w); w.WriteHeader(500) },
		"an impossible status":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(99) },
		"the request's content": func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) },
		"a request that was changed": func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodHead {
				r.Method = "PUT"
			}
			r.Header, r.Body, r.ContentLength = nil, nil, 7
			say(w, "hello")
		},
		"full duplex": func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			say(w, "hello")
			flush(w)
			_, _ = io.Copy(w, r.Body)
		},
		"deadlines": func(w http.ResponseWriter, r *http.Request) {
			control := http.NewResponseController(w)
			Must(control.SetReadDeadline(time.Now().Add(time.Hour)) == nil)
			Must(control.SetWriteDeadline(time.Now().Add(time.Hour)) == nil)
			say(w, "hello")
			_, _ = io.Copy(w, r.Body)
		},
		"a deadline of writing that is past": func(w http.ResponseWriter, r *http.Request) {
			Must(http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0)) == nil)
			_, err := io.WriteString(w, long)
			Must(err != nil || r.Method == http.MethodHead)
			panic(http.ErrAbortHandler)
		},
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			say(w, "hello")
			flush(w)
			panic(http.ErrAbortHandler)
		},
		"cut before all": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"a panic":        func(http.ResponseWriter, *http.Request) { panic("a panic of the test") },
		"informed": func(w http.ResponseWriter, r *http.Request) {
			if r.ProtoAtLeast(1, 1) {
				w.Header().Set("Link", "</x>")
				w.WriteHeader(103)
				w.Header().Add("Link", "</y>")
				w.WriteHeader(103)
				w.WriteHeader(102)
				w.Header().Del("Link")
			}
			say(w, "hello")
			flush(w)
		},
	}
}
