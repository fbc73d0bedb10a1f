package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fieldsOf gives the fields of a line of the access log.
func fieldsOf(t *testing.T, format, line string) map[string]string {
	t.Helper()
	fields := map[string]string{}
	if format == "json" {
		var values map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &values), line)
		for name, value := range values {
			fields[name] = fmt.Sprint(value)
		}
		return fields
	}
	for _, found := range fieldOfText.FindAllStringSubmatch(line, -1) {
		fields[found[1]] = strings.Trim(found[2], `"`)
	}
	return fields
}

var fieldOfText = regexp.MustCompile(`(\w+)=("(?:[^"\\]|\\.)*"|\S*)`)

// accessLines gives the lines of an access log that have a part.
func accessLines(t *testing.T, path, part string) (lines []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, part) {
			lines = append(lines, line)
		}
	}
	return lines
}

func TestAccessLog_HasTheIDTheRetriesAndTheFailureInBothFormats(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			ids := make(chan string, 1)
			web := serve(t, func(_ http.ResponseWriter, r *http.Request) { ids <- r.Header.Get("X-Request-Id") })
			path := filepath.Join(t.TempDir(), "access.log")
			p := start(t, config{"middleware.access_log.path": path, "middleware.access_log.format": format},
				web.service(t, "web", "tricot app.test"),
				refusing(t).service(t, "down", "tricot retry.test"), naming(t, "up").service(t, "up", "tricot retry.test"),
				refusing(t).service(t, "gone", "tricot gone.test"))
			logged := func(part string) map[string]string {
				t.Helper()
				p.eventually(func() bool { return len(accessLines(t, path, part)) > 0 }, "no line with "+part)
				return fieldsOf(t, format, accessLines(t, path, part)[0])
			}

			answer := get(t, p.client(t, http2), "https://app.test/given?secret=1", "X-Request-Id", "given-by-the-client")
			assert.Equal(t, "given-by-the-client", answer.Header.Get("X-Request-Id"))
			assert.Equal(t, "given-by-the-client", <-ids)
			line := logged("/given")
			for name, want := range map[string]string{
				"level": "INFO", "method": "GET", "host": "app.test", "path": "/given", "status": "200", "bytes": "0", "client": "127.0.0.1",
				"protocol": "HTTP/2.0", "tls": "TLS 1.3", "request_id": "given-by-the-client",
			} {
				assert.Equal(t, want, line[name], name)
			}
			for _, name := range []string{"time", "duration", "backend_duration"} {
				assert.NotEmpty(t, line[name], name)
			}
			for _, name := range []string{"retries", "failure", "backend", "aborted"} {
				assert.NotContains(t, line, name)
			}

			answer = get(t, p.client(t, http1), "https://app.test/made", "X-Request-Id", "no id, for it has spaces")
			id := answer.Header.Get("X-Request-Id")
			assert.Regexp(t, `^[0-9a-f]{32}$`, id)
			assert.Equal(t, id, <-ids)
			assert.Equal(t, id, logged("/made")["request_id"])

			client := p.client(t, http1)
			for range 2 { // the turn of one of them is that of the backend that refuses
				get(t, client, "https://retry.test/retried")
			}
			assert.Equal(t, "1", logged(quoted(format, "retries", "1"))["retries"])
			assert.Equal(t, http.StatusBadGateway, get(t, client, "https://gone.test/failed").StatusCode)
			line = logged("/failed")
			assert.Equal(t, "502", line["status"])
			assert.Contains(t, line["failure"], "connection refused")
			assert.Equal(t, http.StatusPermanentRedirect, get(t, p.plainClient(t), "http://app.test/plain").StatusCode)
			line = logged("/plain")
			assert.Equal(t, "308", line["status"])
			assert.NotContains(t, line, "tls")

			text, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.NotContains(t, string(text), "secret")
			assert.NotContains(t, p.log(), "msg=request ")
		})
	}
}

// quoted is a field with a number as it stands in a line.
func quoted(format, name, number string) string {
	if format == "json" {
		return `"` + name + `":` + number
	}
	return " " + name + "=" + number
}

func TestAccessLog_IsOpenedAnewOnHangupAndLosesNoLineUnderLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "access.log")
	p := start(t, observed(config{"middleware.access_log.path": path, "middleware.access_log.format": "json"}),
		naming(t, "web").service(t, "web", "tricot app.test"))
	const clients = 4
	stop := make(chan struct{})
	var sent [clients]int
	var failed [clients]error
	var load sync.WaitGroup
	for i := range clients {
		client := p.client(t, []protocol{http1, http2}[i%2])
		load.Go(func() {
			for ; failed[i] == nil; sent[i]++ {
				select {
				case <-stop:
					return
				default:
				}
				failed[i] = askAs(client, fmt.Sprintf("id-%d-%d", i, sent[i]))
			}
		})
	}
	const turns = 5
	for n := range turns {
		p.eventually(func() bool { return len(accessLines(t, path, "id-")) > 0 }, "there are no lines")
		require.NoError(t, os.Rename(path, fmt.Sprintf("%s.%d", path, n)))
		p.signal(syscall.SIGHUP)
	}
	p.eventually(func() bool { return len(accessLines(t, path, "id-")) > 0 }, "there are no lines after the last turn")
	close(stop)
	load.Wait()
	require.NoError(t, errorsOf(failed[:]...))
	require.Equal(t, 0, p.stop())

	seen := map[string]int{}
	files, err := filepath.Glob(path + "*")
	require.NoError(t, err)
	assert.Len(t, files, turns+1)
	for _, file := range files {
		for _, line := range accessLines(t, file, "") {
			seen[fieldsOf(t, "json", line)["request_id"]]++
		}
	}
	all := 0
	for i, n := range sent {
		all += n
		for k := range n {
			assert.Equal(t, 1, seen[fmt.Sprintf("id-%d-%d", i, k)], "request %d of client %d", k, i)
		}
	}
	assert.Len(t, seen, all)
}

// askAs sends one request with an id.
func askAs(client *http.Client, id string) error {
	request, err := http.NewRequest(http.MethodGet, "https://app.test/", nil)
	if err != nil {
		return err
	}
	request.Header.Set("X-Request-Id", id)
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return errorsOf(err, answer.Body.Close())
}
