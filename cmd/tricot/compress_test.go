package main_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// decoders read each coding while it is still being written.
var decoders = map[string]func(*testing.T, io.Reader) io.Reader{
	"br": func(_ *testing.T, r io.Reader) io.Reader { return brotli.NewReader(r) },
	"gzip": func(t *testing.T, r io.Reader) io.Reader {
		decoder, err := gzip.NewReader(r)
		require.NoError(t, err)
		return decoder
	},
	"zstd": func(t *testing.T, r io.Reader) io.Reader {
		decoder, err := zstd.NewReader(r)
		require.NoError(t, err)
		t.Cleanup(decoder.Close)
		return decoder
	},
}

func TestCompress_AnswersInTheCodingThatTheClientPrefers(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("All happy families are alike. ", 1000)
	p := start(t, config{"middleware.compress.enabled": true}, serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("ETag", `"strong"`)
		_, _ = io.WriteString(w, text)
	}).service(t, "web", "tricot app.test"))
	overEach(t, func(t *testing.T, protocol protocol) {
		client := p.client(t, protocol)
		for accepted, want := range map[string]string{
			"gzip, zstd, br":             "br",
			"gzip, zstd":                 "zstd",
			"gzip":                       "gzip",
			"br;q=0.1, gzip;q=0.9":       "gzip",
			"br;q=0, zstd;q=0, gzip;q=0": "",
			"identity":                   "",
		} {
			reply := get(t, client, "https://app.test/", "Accept-Encoding", accepted)
			assert.Equal(t, want, reply.Header.Get("Content-Encoding"), accepted)
			assert.Equal(t, "Accept-Encoding", reply.Header.Get("Vary"), accepted)
			body := reply.body
			if want != "" {
				assert.Less(t, len(body), len(text)/10, accepted)
				assert.Equal(t, `W/"strong"`, reply.Header.Get("ETag"), accepted)
				whole, err := io.ReadAll(decoders[want](t, strings.NewReader(body)))
				require.NoError(t, err)
				body = string(whole)
			}
			assert.Equal(t, text, body, accepted)
		}
	})
}

func TestCompress_LeavesAloneWhatItShould(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 4096)
	p := start(t, config{"middleware.compress.enabled": true}, serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		switch r.URL.Path {
		case "/type":
			w.Header().Set("Content-Type", "image/png")
		case "/no-transform":
			w.Header().Set("Cache-Control", "no-transform")
		case "/encoded":
			w.Header().Set("Content-Encoding", "x-own")
		case "/short":
			w.Header().Set("Content-Length", "5")
			_, _ = io.WriteString(w, "short")
			return
		}
		_, _ = io.WriteString(w, long)
	}).service(t, "web", "tricot app.test"))
	client := p.client(t, http2)
	for path, want := range map[string]string{
		"/": "gzip", "/type": "", "/no-transform": "", "/encoded": "x-own", "/short": "",
	} {
		reply := get(t, client, "https://app.test"+path, "Accept-Encoding", "gzip")
		assert.Equal(t, want, reply.Header.Get("Content-Encoding"), path)
	}
}

func TestCompress_IsOffByDefaultAndOnByItsOldVariableAndFlag(t *testing.T) {
	t.Parallel()
	web := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/x-own")
		_, _ = io.WriteString(w, strings.Repeat("x", 4096))
	}).service(t, "web", "tricot app.test")
	for name, tc := range map[string]struct {
		variables, flags []string
		want             string
	}{
		"by default":      {nil, nil, ""},
		"by the variable": {[]string{"TRICOT_ENABLE_COMPRESSION=true", "TRICOT_COMPRESS_MIME_TYPES=text/x-own"}, nil, "gzip"},
		"by the flag":     {nil, []string{"--enable-compression", "--compress-mime-types", "text/x-own"}, "gzip"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProxy(t, nil, web)
			p.cmd.Env = tc.variables
			p.cmd.Args = append(p.cmd.Args, tc.flags...)
			p.launch()
			p.awaitReady(web)
			reply := get(t, p.client(t, http1), "https://app.test/", "Accept-Encoding", "gzip")
			assert.Equal(t, tc.want, reply.Header.Get("Content-Encoding"))
		})
	}
}
