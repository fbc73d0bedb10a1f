package admin

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	// interval is between two looks at the traffic.
	interval = time.Second
	// mostHosts is how many hosts one event tells of: the busiest, where the query names none.
	mostHosts = 200
)

// events tells of changes and of the traffic until the client leaves (HTML Standard, section 9.2, "Server-sent events").
func (s *site) events(w http.ResponseWriter, r *http.Request) {
	stream := &stream{w: w, control: http.NewResponseController(w)}
	_ = stream.control.SetWriteDeadline(time.Time{}) // the server's is for answers that end
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no") // for who puts nginx before it

	var hosts []string
	if named := r.URL.Query().Get("hosts"); named != "" {
		hosts = strings.Split(named, ",")
	}
	var rates rates
	now := time.Now() // before the ticker begins, such that the first interval is not a short one
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for revision, first := uint64(0), true; ; first = false {
		if current := s.Revision(); first || current != revision {
			revision = current
			stream.send("changed", map[string]uint64{"revision": revision})
		}
		rates.take(now, s.Traffic())
		stream.send("traffic", rates.of(hosts))
		if stream.err != nil {
			return
		}
		select {
		case now = <-ticker.C:
		case <-r.Context().Done():
			return
		}
	}
}

// stream writes events. After an error it does nothing more.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	err     error
}

func (s *stream) send(event string, value any) {
	if s.err != nil {
		return
	}
	data, err := json.Marshal(value)
	if err == nil {
		_, err = fmt.Fprintf(s.w, "event: %s\ndata: %s\n\n", event, data)
	}
	s.err = cmp.Or(err, s.control.Flush())
}

// Rate is a host's traffic over the last ten seconds.
type Rate struct {
	Host string `json:"host"`
	// Requests are those of a second, on average.
	Requests float64 `json:"requests_per_second"`
	// Errors is the share of them that was answered with a status of 500 or more, from 0 to 1.
	Errors float64 `json:"error_share"`
	// Median and P99 are of the time from arrival to end, in seconds, as fine as the histogram's buckets: the upper bound of
	// the bucket that they fall into. 0 where there was no request, or where they are above all bounds.
	Median float64 `json:"p50_seconds"`
	P99    float64 `json:"p99_seconds"`
}

// window is what rates are over.
const window = 10 // intervals

// rates keeps the last samples of the traffic, oldest first.
type rates struct{ samples []sample }

type sample struct {
	at     time.Time
	byHost map[string]Traffic
}

func (r *rates) take(at time.Time, traffic []Traffic) {
	if len(r.samples) > window {
		r.samples = r.samples[:copy(r.samples, r.samples[1:])]
	}
	byHost := make(map[string]Traffic, len(traffic))
	for _, t := range traffic {
		byHost[t.Host] = t
	}
	r.samples = append(r.samples, sample{at, byHost})
}

// of gives the rates of these hosts, or of the busiest where there are none named.
func (r *rates) of(hosts []string) []Rate {
	first, last := r.samples[0], r.samples[len(r.samples)-1]
	seconds := last.at.Sub(first.at).Seconds()
	all := make([]Rate, 0, min(len(last.byHost), mostHosts))
	add := func(host string) {
		if now, ok := last.byHost[host]; ok {
			all = append(all, between(first.byHost[host], now, seconds))
		}
	}
	if hosts != nil {
		for _, host := range hosts[:min(len(hosts), mostHosts)] {
			add(host)
		}
		return all
	}
	for host := range last.byHost {
		add(host)
	}
	slices.SortFunc(all, func(a, b Rate) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), strings.Compare(a.Host, b.Host))
	})
	return all[:min(len(all), mostHosts)]
}

func between(before, now Traffic, seconds float64) Rate {
	rate := Rate{Host: now.Host}
	if now.Requests <= before.Requests || seconds <= 0 { // fewer, where the host was gone for a while
		return rate
	}
	requests := now.Requests - before.Requests
	rate.Requests = float64(requests) / seconds
	if now.Errors > before.Errors {
		rate.Errors = float64(now.Errors-before.Errors) / float64(requests)
	}
	rate.Median, rate.P99 = quantile(before, now, 0.5), quantile(before, now, 0.99)
	return rate
}

// quantile gives the upper bound of the bucket that has it.
func quantile(before, now Traffic, q float64) float64 {
	counts, total := make([]uint64, len(now.Latency)), uint64(0)
	for i, n := range now.Latency {
		if i < len(before.Latency) {
			n -= before.Latency[i]
		}
		counts[i], total = n, total+n
	}
	below := uint64(0)
	for i, n := range counts {
		below += n
		if float64(below) >= q*float64(total) && total > 0 && i < len(now.LatencyBounds) {
			return now.LatencyBounds[i]
		}
	}
	return 0
}
