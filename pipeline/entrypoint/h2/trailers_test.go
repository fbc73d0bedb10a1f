package h2

import (
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/servertest"
)

// trailing answers with content of a known length, and trailers that nobody announced where "sum" is asked for.
func trailing(w http.ResponseWriter, r *http.Request) {
	size, _ := strconv.Atoi(r.URL.Query().Get("size"))
	w.Header().Set("Content-Length", strconv.Itoa(size))
	say(w, servertest.Pattern(1, size))
	if r.URL.Query().Has("flush") {
		flush(w)
	}
	if r.URL.Query().Has("sum") {
		w.Header().Set(http.TrailerPrefix+"X-Sum", "1")
	}
}

func TestTrailers_ComeBehindTheLastByteOfALengthWhereTheClientTakesThem(t *testing.T) {
	f := serve(t, trailing)
	w := f.wire(t)
	w.widening = true
	for i, size := range []int{1, maxFrame - frameHeaderSize, maxFrame, 50_000} {
		for j, flush := range []string{"", "&flush"} {
			id := uint32(4*i + 2*j + 1)
			w.get(id, "/?sum&size="+strconv.Itoa(size)+flush, "te", "trailers")
			w.send()
			servertest.RequireSame(t, servertest.Pattern(1, size), w.content(id))
			assert.Equal(t, http.Header{"X-Sum": {"1"}}, w.reply(id).trailer)
			assert.Equal(t, strconv.Itoa(size), w.reply(id).header.Get("Content-Length"))
		}
	}
}

func TestTrailers_CostNoFrameWhereTheyMightHaveCome(t *testing.T) {
	f := serve(t, trailing)
	w := f.wire(t)
	w.get(1, "/?size=1000", "te", "trailers")
	w.send()
	servertest.RequireSame(t, servertest.Pattern(1, 1000), w.content(1))
	assert.Equal(t, 1, w.reply(1).frames)
	assert.Nil(t, w.reply(1).trailer)
}

func TestTrailers_DoNotHoldTheEndBackWhereThereCanBeNone(t *testing.T) {
	const size = 50_000
	for name, c := range map[string]struct {
		method string
		fields []string
		want   string
	}{
		"for a client that does not ask": {http.MethodGet, nil, servertest.Pattern(1, size)},
		"behind no content":              {http.MethodHead, []string{"te", "trailers"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := serve(t, func(w http.ResponseWriter, r *http.Request) {
				trailing(w, r)
				<-r.Context().Done() // the client has the answer, and has not ended the stream
			})
			w := f.wire(t)
			w.head(1, false, c.method, "/?sum&size="+strconv.Itoa(size), c.fields...)
			w.send()
			servertest.RequireSame(t, c.want, w.content(1))
			assert.Nil(t, w.reply(1).trailer)
		})
	}
}
