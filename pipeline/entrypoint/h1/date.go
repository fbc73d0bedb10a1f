package h1

import (
	"net/http"
	"time"
)

// date is the Date field of one second, as it stands on the wire.
type date struct {
	second int64
	line   string
}

// dateLine gives the field line for now.
func (s *Server) dateLine(now time.Time) string {
	second := now.Unix()
	if d := s.date.Load(); d != nil && d.second == second {
		return d.line
	}
	d := &date{second, "Date: " + now.UTC().Format(http.TimeFormat) + "\r\n"}
	s.date.Store(d)
	return d.line
}
