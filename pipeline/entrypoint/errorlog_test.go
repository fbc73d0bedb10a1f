package entrypoint

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestErrorLog_PutsWhatClientsCauseAtDebug(t *testing.T) {
	for line, level := range map[string]string{
		"http: TLS handshake error from 192.0.2.1:5: EOF\n":                                 "DEBUG",
		"http2: server: error reading preface from client 192.0.2.1:5: EOF\n":               "DEBUG",
		"http2: server connection error from 192.0.2.1:5: PROTOCOL_ERROR\n":                 "DEBUG",
		"http2: received GOAWAY [FrameHeader GOAWAY len=8], starting graceful shutdown\n":   "DEBUG",
		"timeout waiting for SETTINGS frames from 192.0.2.1:5\n":                            "DEBUG",
		"http: superfluous response.WriteHeader call from main.f (main.go:1)\n":             "WARN",
		"http: response.Write on hijacked connection from main.f (main.go:1)\n":             "WARN",
		"http: invalid Content-Length of \"x\"\n":                                           "WARN",
		"ignoring invalid trailer \"Content-Length\"\n":                                     "WARN",
		"http2: panic serving 192.0.2.1:5: out of cheese\ngoroutine 1 [running]:\nmain.f\n": "WARN",
	} {
		log := new(logged)
		e := &errorLog{log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
		n, err := e.Write([]byte(line))
		assert.NoError(t, err)
		assert.Equal(t, len(line), n)
		assert.Equal(t, 1, log.count("level="+level+" msg=server error="), "%s: %s", line, log)
		assert.Equal(t, 1, log.count(""), "one line")
	}
}

func TestErrorLog_CostsNothingWhereItsLevelIsOff(t *testing.T) {
	e := &errorLog{log: slog.New(slog.DiscardHandler)}
	line := []byte("http: TLS handshake error from 192.0.2.1:5: EOF\n")
	assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = e.Write(line) }))
}
