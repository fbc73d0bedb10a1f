package settings

import (
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRustLog_FindsTheLevelForTricot(t *testing.T) {
	for value, want := range map[string]string{
		"tricot=debug": "debug", "info,tricot=debug": "debug", "tricot=debug,info": "debug", "debug": "debug", "DEBUG": "debug",
		"tricot=Warn": "warn", "off": "error", "tricot=off": "error", "error": "error", "tricot=error,trace": "error",
		"tricot": "trace", "tricot=": "trace", "tricot=info,tricot=warn": "warn", "warn,info": "info",
		" info , tricot = debug ": "debug", "tricot=debug/some.*regex": "debug", "debug/tricot=trace": "debug",
		"hyper=trace": "", "hyper": "", "hyper=trace,warn": "warn", "tricot::acme=trace": "", "tricot=loud": "", "tricot=debug=info": "",
		"": "", ",,": "", "=": "", "=debug": "", "/": "",
	} {
		level, ok := rustLog(value)
		assert.Equal(t, want, level, value)
		assert.Equal(t, want != "", ok, value)
	}
}

func FuzzRustLog(f *testing.F) {
	for _, seed := range []string{"tricot=debug", "info,tricot=trace/x", "off", "=,=,", "tricot"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		text, ok := rustLog(value)
		if !ok {
			assert.Empty(t, text)
			return
		}
		_, err := level(text)
		assert.NoError(t, err)
	})
}

func FuzzLoad_GivesProblemsOrSettings(f *testing.F) {
	example, err := os.ReadFile(exampleFile)
	require.NoError(f, err)
	for _, seed := range []string{
		string(example), "providers: [file]\nfile: {path: /dev/null}\n", "site: &a [*a]\n", "log: &l {level: *l, format: *l}\n",
		"http: {bind_addr: ':80'}\nhttps: {bind_addr: ':80'}\n", "? {a: b}\n: c\n", "---\n---\n", "<<: {a: b}\n", "\"\": \"\"\n",
		"middleware:\n  greeter:\n    upstream: {url: http://x}\n    names: [a]\n", "%YAML 1.1\n---\na: !!x b\n", "\xff\xfea\x00",
	} {
		f.Add(seed)
	}
	schema, err := New(Section{Stage: "greeter", Into: newGreeter()})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, content string) {
		file := &file{schema: schema, name: "tricot.yaml", values: map[string]*given{}}
		file.parse([]byte(content))
		assert.True(t, file.read || len(file.problems) > 0, "neither settings nor a problem")
		settings, err := schema.apply(file, nil, nil, 1000)
		require.NotNil(t, settings)
		if err == nil {
			return
		}
		var problems Problems
		require.True(t, errors.As(err, &problems), "%v", err)
		for _, problem := range problems {
			assert.NotEmpty(t, problem.Reason)
			assert.NotContains(t, problem.String(), "\n")
			if problem.from.place == inFile {
				assert.Positive(t, problem.from.line)
			}
		}
	})
}
