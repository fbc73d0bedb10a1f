package settings

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type mode string

// String must not be what settings take for the value.
func (mode) String() string { return "mode" }

type greeter struct {
	Text     string `usage:"What to say."`
	Loud     bool
	Times    int
	Small    int8
	Count    uint16
	Share    float64
	Ratio    float32
	Wait     time.Duration `is:"positive"`
	Names    []string
	Mode     mode   `is:"oneof=a|b"`
	APIKey   string `secret:"true"`
	Renamed  string `key:"called" env:"GREETER_CALLED" flag:"called"`
	Upstream struct {
		URL   string `is:"url"`
		Retry struct{ MaxTries uint }
	} `about:"Where greetings come from."`
	Log    *slog.Logger `key:"-"`
	hidden chan int
}

func newGreeter() *greeter {
	g := &greeter{Text: "hello", Times: 1, Count: 2, Share: 0.5, Ratio: 0.1, Wait: time.Second, Names: []string{"x", "y"}, Mode: "a"}
	g.Upstream.URL, g.Upstream.Retry.MaxTries, g.hidden = "http://u.example.com", 3, make(chan int)
	return g
}

func TestSection_IsDecodedIntoTheStructOfItsOwner(t *testing.T) {
	g := newGreeter()
	settings := trial{
		yaml: `middleware:
  greeter:
    text: "good\nmorning"
    loud: true
    small: -128
    count: 65535
    names: [a, "b,c"]
    upstream:
      url: https://v.example.com
      retry:
        max_tries: 7
`,
		env: append(runnable(t), "TRICOT_MIDDLEWARE_GREETER_WAIT=5s", "GREETER_CALLED=me", "TRICOT_MIDDLEWARE_GREETER_SHARE=0.25",
			"TRICOT_MIDDLEWARE_GREETER_API_KEY=k"),
		flags: []string{"--middleware-greeter-times=4", "--middleware-greeter-mode", "b", "--middleware-greeter-ratio=2"},
	}.good(t, Section{Stage: "greeter", After: "headers", Into: g})

	want := newGreeter()
	want.Text, want.Loud, want.Times, want.Small, want.Count, want.Share, want.Ratio = "good\nmorning", true, 4, -128, 65535, 0.25, 2
	want.Wait, want.Names, want.Mode, want.APIKey, want.Renamed = 5*time.Second, []string{"a", "b,c"}, "b", "k", "me"
	want.Upstream.URL, want.Upstream.Retry.MaxTries, want.hidden = "https://v.example.com", 7, g.hidden
	assert.Equal(t, want, g)
	assert.Equal(t, "variable GREETER_CALLED", settings.Source("middleware.greeter.called"))
	assert.Equal(t, "default", settings.Source("middleware.greeter.enabled"))
	assert.Equal(t, []string{"access_log", "metrics", "request_id", "redirect", "acme", "route", "headers", "greeter", "balance", "transport"}, settings.Stages())
}

func TestSection_KeepsTheDefaultsOfItsOwnerWhereNothingIsSet(t *testing.T) {
	g := newGreeter()
	settings := trial{env: runnable(t)}.good(t, Section{Stage: "greeter", Into: g})
	want := newGreeter()
	want.hidden = g.hidden
	assert.Equal(t, want, g)
	values := map[string]string{}
	for _, entry := range settings.All() {
		if name, is := strings.CutPrefix(entry.Key, "middleware.greeter."); is {
			values[name] = entry.Default
		}
	}
	assert.Equal(t, map[string]string{"enabled": "true", "text": "hello", "loud": "false", "times": "1", "small": "0", "count": "2",
		"share": "0.5", "ratio": "0.1", "wait": "1s", "names": "x,y", "mode": "a", "api_key": "", "called": "",
		"upstream.url": "http://u.example.com", "upstream.retry.max_tries": "3"}, values)
}

func TestSection_IsLoadedAfreshEachTime(t *testing.T) {
	g := newGreeter()
	schema, err := New(Section{Stage: "greeter", Into: g})
	require.NoError(t, err)
	nowhere := machine{file: filepath.Join(t.TempDir(), "none")}
	_, _ = schema.load(nil, map[string]string{"TRICOT_MIDDLEWARE_GREETER_TIMES": "9", "TRICOT_MIDDLEWARE_GREETER_NAMES": "z"}, nowhere)
	assert.Equal(t, 9, g.Times)
	assert.Equal(t, []string{"z"}, g.Names)
	_, _ = schema.load(nil, nil, nowhere)
	assert.Equal(t, 1, g.Times)
	assert.Equal(t, []string{"x", "y"}, g.Names)
}

func TestSection_ProblemsAreToldLikeAllOthers(t *testing.T) {
	g := newGreeter()
	_, problems := trial{
		yaml: "middleware:\n  greeter:\n    tmies: 2\n    enabled: perhaps\n    upstream: {url: x}\n    small: 128\n    share: much\n",
		env: append(runnable(t), "TRICOT_MIDDLEWARE_GREETER_WAIT=0s", "TRICOT_MIDDLEWARE_GREETER_MODE=c",
			"TRICOT_MIDDLEWARE_GREETER_COUNT=-1"),
	}.load(t, Section{Stage: "greeter", Into: g})
	assert.Equal(t, []string{
		`tricot.yaml:3: middleware.greeter.tmies: there is no such setting; did you mean middleware.greeter.times?`,
		`tricot.yaml:4: middleware.greeter.enabled = "perhaps": true or false is expected`,
		`tricot.yaml:5: middleware.greeter.upstream.url = "x": an http or https URL is expected, such as http://127.0.0.1:8500`,
		`tricot.yaml:6: middleware.greeter.small = "128": the number is too large`,
		`tricot.yaml:7: middleware.greeter.share = "much": a number is expected`,
		`variable TRICOT_MIDDLEWARE_GREETER_COUNT: middleware.greeter.count = "-1": a whole number is expected, 0 or more`,
		`variable TRICOT_MIDDLEWARE_GREETER_MODE: middleware.greeter.mode = "c": a or b is expected`,
		`variable TRICOT_MIDDLEWARE_GREETER_WAIT: middleware.greeter.wait = "0s": it must be more than 0`,
	}, lines(problems))
}

func TestSection_CanBeSwitchedOff(t *testing.T) {
	settings := trial{yaml: "middleware: {plain: {enabled: false}}", env: runnable(t)}.good(t, Section{Stage: "plain"}, Section{Stage: "other"})
	assert.False(t, settings.Enabled("plain"))
	assert.True(t, settings.Enabled("other"))
	assert.NotContains(t, settings.Stages(), "plain")
	assert.Equal(t, "other", settings.Stages()[0])
}

func TestSection_GoesBehindTheStageThatItNames(t *testing.T) {
	sections := []Section{{Stage: "a", After: "route"}, {Stage: "b", After: "a"}, {Stage: "c"}}
	assert.Equal(t, []string{"c", "access_log", "metrics", "request_id", "redirect", "acme", "route", "a", "b", "headers", "balance", "transport"},
		trial{env: runnable(t)}.good(t, sections...).Stages())
	assert.Equal(t, []string{"b", "route"},
		trial{env: append(runnable(t), "TRICOT_PIPELINE_ORDER=b,route")}.good(t, sections...).Stages())
}

func TestNew_RefusesASectionThatIsAMistake(t *testing.T) {
	for _, c := range []struct {
		want     string
		sections []Section
	}{
		{`stage "Greeter": a stage's name is`, []Section{{Stage: "Greeter"}}},
		{`stage "": a stage's name is`, []Section{{}}},
		{"stage route: there is one of this name already", []Section{{Stage: "route"}}},
		{"stage a: there is one of this name already", []Section{{Stage: "a"}, {Stage: "a"}}},
		{`stage a: goes after "b", and there is no such stage`, []Section{{Stage: "a", After: "b"}, {Stage: "b"}}},
		{"not into settings.greeter", []Section{{Stage: "a", Into: greeter{}}}},
		{"not into *settings.greeter", []Section{{Stage: "a", Into: (*greeter)(nil)}}},
		{"not into *int", []Section{{Stage: "a", Into: new(int)}}},
		{"stage a: field M: no setting can be a map[string]int", []Section{{Stage: "a", Into: &struct{ M map[string]int }{}}}},
		{"field P: no setting can be a *string", []Section{{Stage: "a", Into: &struct{ P *string }{}}}},
		{"field I: no setting can be a []int", []Section{{Stage: "a", Into: &struct{ I []int }{}}}},
		{"field T: no setting can be a time.Time", []Section{{Stage: "a", Into: &struct{ T time.Time }{}}}},
		{"field L: no setting can be a slog.Level", []Section{{Stage: "a", Into: &struct{ L slog.Level }{}}}},
		{"field N: field C: no setting can be a chan int", []Section{{Stage: "a", Into: &struct{ N struct{ C chan int } }{}}}},
		{"field Enabled: there is a setting middleware.a.enabled already", []Section{{Stage: "a", Into: &struct{ Enabled bool }{}}}},
		{`field X: "a.b" is no key`, []Section{{Stage: "a", Into: &struct {
			X string `key:"a.b"`
		}{}}}},
		{`field X: there is no constraint "odd"`, []Section{{Stage: "a", Into: &struct {
			X string `is:"odd"`
		}{}}}},
		{`field X: the constraint "positive" is not for a string`, []Section{{Stage: "a", Into: &struct {
			X string `is:"positive"`
		}{}}}},
		{`field X: constraint "min=few"`, []Section{{Stage: "a", Into: &struct {
			X int `is:"min=few"`
		}{}}}},
		{"share the name TRICOT_MIDDLEWARE_A_B_C", []Section{
			{Stage: "a", Into: &struct{ BC string }{}}, {Stage: "a_b", Into: &struct{ C string }{}},
			{Stage: "z", Into: &struct {
				X string `env:"TRICOT_MIDDLEWARE_A_B_C"`
			}{}},
		}},
		{"share the name --site", []Section{{Stage: "a", Into: &struct {
			X string `flag:"site"`
		}{}}}},
		{"share the name --config", []Section{{Stage: "a", Into: &struct {
			X string `flag:"config"`
		}{}}}},
	} {
		_, err := New(c.sections...)
		assert.ErrorContains(t, err, c.want)
	}
}

func TestSnake_IsWhatGoNamesMean(t *testing.T) {
	for name, want := range map[string]string{"A": "a", "Text": "text", "MaxTries": "max_tries", "URL": "url", "APIKey": "api_key",
		"UserID": "user_id", "MaxIDLength": "max_id_length", "HTTP2Only": "http2_only", "With_Line": "with_line"} {
		assert.Equal(t, want, snake(name))
	}
}

func TestFlags_ShowDefaultsAndHideOldNames(t *testing.T) {
	schema, err := New(Section{Stage: "greeter", Into: newGreeter()})
	require.NoError(t, err)
	flags := pflag.NewFlagSet("tricot", pflag.ContinueOnError)
	schema.Flags(flags)
	usages := flags.FlagUsages()
	assert.Contains(t, usages, "--http-bind-addr string")
	assert.Contains(t, usages, `(default "0.0.0.0:80")`)
	assert.Contains(t, usages, "-c, --config string")
	assert.Contains(t, usages, "Also --enable-compression.")
	assert.NotContains(t, usages, "      --enable-compression")
	assert.Contains(t, usages, "What to say.")
}
