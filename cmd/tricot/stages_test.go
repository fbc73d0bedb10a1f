package main_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// page starts a backend that gives what compress, headers and redirect have something to do with.
func page(t *testing.T) service {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, strings.Repeat("x", 4096))
	}).service(t, "web", "tricot app.test", "tricot-add-header X-Served-By web")
}

func TestStage_CanBeLeftOut(t *testing.T) {
	t.Parallel()
	for stage, tc := range map[string]struct {
		redirected         bool
		servedBy, encoding string
	}{
		"none":       {true, "web", "gzip"},
		"access_log": {true, "web", "gzip"},
		"redirect":   {false, "web", "gzip"},
		"acme":       {true, "web", "gzip"},
		"headers":    {true, "", "gzip"},
		"compress":   {true, "web", ""},
	} {
		t.Run(stage, func(t *testing.T) {
			t.Parallel()
			all := config{"middleware.compress.enabled": true}
			if stage != "none" {
				all["middleware."+stage+".enabled"] = false
			}
			p := start(t, all, page(t))

			reply := get(t, p.client(t, http2), "https://app.test/", "Accept-Encoding", "gzip")
			assert.Equal(t, http.StatusOK, reply.StatusCode)
			assert.Equal(t, tc.servedBy, reply.Header.Get("X-Served-By"))
			assert.Equal(t, tc.encoding, reply.Header.Get("Content-Encoding"))

			plain := get(t, p.plainClient(t), "http://app.test/")
			want := http.StatusOK
			if tc.redirected {
				want = http.StatusPermanentRedirect
			}
			assert.Equal(t, want, plain.StatusCode)

			if stage == "access_log" {
				assert.Empty(t, p.logLines("GET", "app.test", "200"))
			}
		})
	}
}

func TestStage_OrderIsASetting(t *testing.T) {
	t.Parallel()
	for name, order := range map[string][]string{
		"others first": {"acme", "route", "access_log", "compress", "headers", "redirect", "balance", "transport"},
		"the least":    {"route", "balance", "transport"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, config{"pipeline.order": order, "middleware.compress.enabled": true}, page(t))
			reply := get(t, p.client(t, http2), "https://app.test/", "Accept-Encoding", "gzip")
			assert.Equal(t, http.StatusOK, reply.StatusCode)
			assert.Equal(t, len(order) > 3, reply.Header.Get("Content-Encoding") == "gzip")
			assert.Equal(t, len(order) > 3, reply.Header.Get("X-Served-By") == "web")
		})
	}
}

func TestStage_OrderThatBreaksANeedIsRefusedWithBothNames(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		config config
		parts  []string
	}{
		"the need comes later": {
			config{"pipeline.order": []string{"balance", "route", "transport"}}, []string{"balance", "route", "pipeline.order"},
		},
		"the need is left out": {
			config{"middleware.route.enabled": false}, []string{"balance", "route", "not part of the pipeline"},
		},
		"balance is left out": {
			config{"middleware.balance.enabled": false}, []string{"transport", "balance", "not part of the pipeline"},
		},
		"transport is not the last": {
			config{"pipeline.order": []string{"route", "balance", "transport", "headers"}}, []string{"transport", "headers", "last"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProxy(t, tc.config, page(t))
			p.launch()
			assert.Equal(t, 2, p.exitCode())
			assert.NotEmpty(t, p.logLines(tc.parts...), p.log())
		})
	}
}
