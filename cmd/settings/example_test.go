package settings

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

const exampleFile = "../../config.example.yaml"

var update = flag.Bool("update", false, "write config.example.yaml afresh")

func TestExample_IsConfigExampleYAML(t *testing.T) {
	schema, err := New()
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile(exampleFile, []byte(schema.Example()), 0o644))
	}
	content, err := os.ReadFile(exampleFile)
	require.NoError(t, err)
	assert.Equal(t, schema.Example(), string(content), "after a change of the settings: go test ./cmd/settings -run TestExample -update")
	for line := range strings.Lines(string(content)) {
		assert.LessOrEqual(t, len(strings.TrimSpace(line)), 120, line)
	}
}

// The file is read here by YAML alone, so that a mistake in what renders it shows.
func TestExample_HasEveryKeyWithItsDefaultAndItsDescriptionAndNoOther(t *testing.T) {
	content, err := os.ReadFile(exampleFile)
	require.NoError(t, err)
	var document yaml.Node
	require.NoError(t, yaml.Unmarshal(content, &document))
	type entry struct{ value, comment string }
	inFile := map[string]entry{}
	var read func(prefix string, node *yaml.Node)
	read = func(prefix string, node *yaml.Node) {
		for i := 0; i < len(node.Content); i += 2 {
			key, value := prefix+node.Content[i].Value, node.Content[i+1]
			comment := node.Content[i].HeadComment
			comment = strings.TrimPrefix(comment[strings.LastIndexByte(comment, '\n')+1:], "# ")
			assert.NotEmpty(t, comment, key)
			switch value.Kind {
			case yaml.MappingNode:
				read(key+".", value)
			case yaml.SequenceNode:
				var items []string
				require.NoError(t, value.Decode(&items))
				inFile[key] = entry{strings.Join(items, ","), comment}
			default:
				inFile[key] = entry{value.Value, comment}
			}
		}
	}
	read("", document.Content[0])

	schema, err := New()
	require.NoError(t, err)
	inCode := map[string]entry{}
	for _, e := range schema.Entries() {
		comment := e.Usage
		if e.Otherwise != "" {
			comment += " Default: " + e.Otherwise + "."
		}
		inCode[e.Key] = entry{e.Default, comment}
	}
	assert.Equal(t, inCode, inFile)
}

func TestExample_LoadsAsTheDefaultsDo(t *testing.T) {
	content, err := os.ReadFile(exampleFile)
	require.NoError(t, err)
	bare, bareProblems := trial{}.load(t)
	loaded, problems := trial{yaml: string(content)}.load(t)
	assert.Len(t, problems, len(bareProblems), "%v", lines(problems))
	want, got := bare.All(), loaded.All()
	for i := range want {
		assert.Equal(t, want[i].Value, got[i].Value, want[i].Key)
		assert.Contains(t, got[i].Source, "tricot.yaml:", want[i].Key)
	}
}

func TestExample_OfAProgramWithCustomStagesLoads(t *testing.T) {
	odd := &struct {
		Text  string   `usage:"Odd."`
		Names []string `usage:"Names."`
		Multi string
	}{Text: "yes", Names: []string{"a, b", "#c", "null"}, Multi: "a: b\n- c"}
	section := Section{Stage: "odd", About: "Odd things.", Into: odd}
	schema, err := New(section)
	require.NoError(t, err)
	example := schema.Example()
	assert.Equal(t, 1, strings.Count(example, "\nmiddleware:\n"))
	assert.Contains(t, example, "\n  # Odd things.\n  odd:\n")

	loaded, _ := trial{yaml: example}.load(t, section)
	for _, entry := range loaded.All() {
		assert.Contains(t, entry.Source, "tricot.yaml:", entry.Key)
	}
	assert.Equal(t, "yes", odd.Text)
	assert.Equal(t, []string{"a, b", "#c", "null"}, odd.Names)
	assert.Equal(t, "a: b\n- c", odd.Multi)
}

func TestReference_HasARowForEachSetting(t *testing.T) {
	schema, err := New()
	require.NoError(t, err)
	reference := schema.Reference()
	assert.Equal(t, len(schema.Entries())+2, strings.Count(reference, "\n"))
	assert.Contains(t, reference, "| `http.bind_addr` | `0.0.0.0:80` | Address and port for plain HTTP. Empty: not served. |\n")
	assert.Contains(t, reference, "| `consul.token` (also `CONSUL_HTTP_TOKEN`) | none | The ACL token. |\n")
	assert.Contains(t, reference, "| `certs.store` | consul where the consul provider runs, else dir |")
}
