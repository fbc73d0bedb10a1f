package main

import (
	"fmt"
	"html"
	"net/http"
	"strings"
	"time"
)

// newService answers under the given name, and sends an event each interval.
func newService(name string, interval time.Duration) http.Handler {
	s := &service{name: name, interval: interval, page: []byte(page(name))}
	mux := http.NewServeMux()
	mux.HandleFunc("/", s.identity)
	mux.HandleFunc("/page", s.html)
	mux.HandleFunc("/events", s.events)
	return mux
}

type service struct {
	name     string
	interval time.Duration
	page     []byte
}

// identity tells who answers, and what of the client a proxy passed on.
func (s *service) identity(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "%s: %s %s\nHost: %s\n", s.name, r.Method, r.RequestURI, r.Host)
	for _, field := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"} {
		for _, value := range r.Header.Values(field) {
			fmt.Fprintf(w, "%s: %s\n", field, value)
		}
	}
}

func (s *service) html(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(s.page) // an error means that the client left
}

// events follows https://html.spec.whatwg.org/multipage/server-sent-events.html and lasts until the client leaves or the
// service ends.
func (s *service) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	client := http.NewResponseController(w)
	tick := time.NewTicker(s.interval)
	defer tick.Stop()
	for n := 1; ; n++ {
		if _, err := fmt.Fprintf(w, "id: %d\ndata: %s, event %d\n\n", n, s.name, n); err != nil {
			return
		}
		if err := client.Flush(); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

// page gives some 30 KiB of HTML.
func page(name string) string {
	var b strings.Builder
	title := html.EscapeString(name)
	fmt.Fprintf(&b, "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>%s</title>\n<h1>%s</h1>\n<table>\n",
		title, title)
	b.WriteString("<tr><th scope=\"col\">number</th><th scope=\"col\">square</th><th scope=\"col\">cube</th></tr>\n")
	for n := 1; n <= 600; n++ {
		fmt.Fprintf(&b, "<tr><td>%d</td><td>%d</td><td>%d</td></tr>\n", n, n*n, n*n*n)
	}
	b.WriteString("</table>\n</html>\n")
	return b.String()
}
