package compress

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestNegotiate_FollowsTheClientsWeights(t *testing.T) {
	for _, c := range []struct {
		name   string
		fields []string
		want   coding
	}{
		{"no field", nil, identity},
		{"an empty field", []string{""}, identity},
		{"one coding", []string{"gzip"}, gzipCoding},
		{"a browser's", []string{"gzip, deflate, br, zstd"}, brotliCoding},
		{"a tie goes to br", []string{"zstd, gzip, br"}, brotliCoding},
		{"without br, a tie goes to zstd", []string{"gzip, zstd"}, zstdCoding},
		{"a tie below 1", []string{"gzip;q=0.5, zstd;q=0.5"}, zstdCoding},
		{"the highest weight wins", []string{"br;q=0.3, zstd;q=0.4, gzip;q=0.5"}, gzipCoding},
		{"a weight left out is 1", []string{"br;q=0.999, gzip"}, gzipCoding},
		{"the third decimal counts", []string{"br;q=0.501, gzip;q=0.502"}, gzipCoding},
		{"weight 0 refuses", []string{"br;q=0, gzip;q=0.001"}, gzipCoding},
		{"weight 0.000 refuses", []string{"gzip;q=0.000"}, identity},
		{"several fields are one list", []string{"gzip;q=0.2", "zstd;q=0.9", "br;q=0.1"}, zstdCoding},
		{"names in any case", []string{"GZip"}, gzipCoding},
		{"the weight's name in any case", []string{"br;Q=0.1, gzip;Q=0.2"}, gzipCoding},
		{"the old name of gzip", []string{"x-gzip"}, gzipCoding},
		{"a coding named twice has the higher weight", []string{"gzip;q=0, zstd;q=0.5, x-gzip;q=0.8"}, gzipCoding},
		{"spaces and tabs", []string{"\tbr ; q=0.2 ,\t gzip\t;\tq=0.3 "}, gzipCoding},
		{"empty elements", []string{", ,gzip,,"}, gzipCoding},
		{"an unknown coding", []string{"deflate, compress"}, identity},
		{"an unknown coding beside a known", []string{"deflate, gzip;q=0.1"}, gzipCoding},

		{"any", []string{"*"}, brotliCoding},
		{"any stands for what is not named", []string{"br;q=0.1, *;q=0.5"}, zstdCoding},
		{"any does not overrule what is named", []string{"br;q=0, zstd;q=0, *"}, gzipCoding},
		{"any refused", []string{"gzip, *;q=0"}, gzipCoding},
		{"all refused", []string{"*;q=0"}, identity},

		{"identity", []string{"identity"}, identity},
		{"identity refused and nothing else named", []string{"identity;q=0"}, identity},
		{"identity refused", []string{"identity;q=0, gzip;q=0.1"}, gzipCoding},
		{"identity and any refused", []string{"identity;q=0, *;q=0"}, identity},
		{"identity preferred", []string{"gzip;q=0.5, identity"}, identity},
		{"identity as good as the rest", []string{"gzip;q=0.5, identity;q=0.5"}, gzipCoding},
		{"identity preferred to any", []string{"identity, *;q=0.5"}, identity},
		{"the example of RFC 9110", []string{"gzip;q=1.0, identity; q=0.5, *;q=0"}, gzipCoding},

		{"a weight that is no number", []string{"br;q=high, gzip;q=0.1"}, gzipCoding},
		{"a weight above 1", []string{"br;q=1.5, gzip;q=0.1"}, gzipCoding},
		{"a weight a little above 1", []string{"br;q=1.001, gzip;q=0.1"}, gzipCoding},
		{"a weight below 0", []string{"br;q=-1, gzip;q=0.1"}, gzipCoding},
		{"a weight of four decimals", []string{"br;q=0.9999, gzip;q=0.1"}, gzipCoding},
		{"a weight without digits", []string{"br;q=, gzip;q=0.1"}, gzipCoding},
		{"a weight without the first digit", []string{"br;q=.9, gzip;q=0.1"}, gzipCoding},
		{"a weight with a comma for the point", []string{"br;q=0,9, gzip;q=0.1"}, gzipCoding},
		{"a weight that ends with the point", []string{"br;q=0.2, gzip;q=1."}, gzipCoding},
		{"a space in the weight", []string{"br;q= 0.9, gzip;q=0.1"}, gzipCoding},
		{"a parameter that is no weight", []string{"br;level=9, gzip;q=0.1"}, gzipCoding},
		{"a parameter after the weight", []string{"br;q=0.9;level=9, gzip;q=0.1"}, gzipCoding},
		{"nothing after the semicolon", []string{"br;, gzip;q=0.1"}, gzipCoding},
		{"a name with a space", []string{"g zip, br zstd"}, identity},
	} {
		t.Run(c.name, func(t *testing.T) {
			assert.Equal(t, c.want.String(), negotiate(c.fields).String())
		})
	}
}

func TestAcceptedCoding_IsIdentityWhereTheRequestForbidsAnyOther(t *testing.T) {
	for _, c := range []struct {
		name, method string
		cacheControl []string
		want         coding
	}{
		{"GET", http.MethodGet, nil, gzipCoding},
		{"POST", http.MethodPost, nil, gzipCoding},
		{"HEAD", http.MethodHead, nil, identity},
		{"CONNECT", http.MethodConnect, nil, identity},
		{"no-transform", http.MethodGet, []string{"max-age=0", "no-cache, No-Transform"}, identity},
		{"another directive", http.MethodGet, []string{"no-cache"}, gzipCoding},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(c.method, "http://example.com/", nil)
			r.Header["Accept-Encoding"] = []string{"gzip"}
			r.Header["Cache-Control"] = c.cacheControl
			assert.Equal(t, c.want.String(), acceptedCoding(r).String())
		})
	}
}

func TestNegotiate_DoesNotAllocate(t *testing.T) {
	fields := []string{"gzip, deflate;q=0.5, br;q=0.9, zstd", "*;q=0.1"}
	assert.Zero(t, testing.AllocsPerRun(100, func() { negotiate(fields) }))
}

func FuzzNegotiate(f *testing.F) {
	for _, seed := range [][2]string{
		{"gzip, deflate, br, zstd", ""},
		{"br;q=0.1, *;q=0.5", "identity;q=0"},
		{"x-gzip;Q=1.000", "zstd;q=0.999"},
		{"identity;q=0,\t*;q=0", "gzip ; q=0."},
		{"br;q=1.001;q=1", ";;,=q"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		got := negotiate([]string{first, second})
		if got > identity {
			t.Fatalf("%q, %q: %d is not a coding that can be sent", first, second, got)
		}
		if want := plainlyNegotiated(first + "," + second); got.String() != want {
			t.Fatalf("%q, %q: got %s, want %s", first, second, got, want)
		}
	})
}

var plainElement = regexp.MustCompile(`^([^;]*)(?:;[ \t\r\n]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?$`)

// plainlyNegotiated is the reference model: note each weight, put the candidates in order, take the first.
func plainlyNegotiated(list string) string {
	const space = " \t\r\n"
	type candidate struct {
		name   string
		weight float64
	}
	weights := map[string]float64{}
	for _, element := range strings.Split(list, ",") {
		element = strings.Trim(element, space)
		name, _, _ := strings.Cut(element, ";")
		weight := 0.0
		if parts := plainElement.FindStringSubmatch(element); parts != nil {
			weight = 1
			if parts[2] != "" {
				weight, _ = strconv.ParseFloat(strings.TrimSuffix(parts[2], "."), 64)
			}
		}
		for _, known := range []string{"br", "zstd", "gzip", "x-gzip", "identity", "*"} {
			if strings.EqualFold(strings.Trim(name, space), known) {
				known = strings.TrimPrefix(known, "x-")
				weights[known] = max(weights[known], weight)
			}
		}
	}
	var candidates []candidate
	for _, name := range []string{"br", "zstd", "gzip", "identity"} {
		weight, named := weights[name]
		if !named && name != "identity" {
			weight = weights["*"]
		}
		candidates = append(candidates, candidate{name, weight})
	}
	slices.SortStableFunc(candidates, func(a, b candidate) int {
		switch {
		case a.weight > b.weight:
			return -1
		case a.weight < b.weight:
			return 1
		}
		return 0
	})
	if candidates[0].weight == 0 {
		return "identity"
	}
	return candidates[0].name
}
