package nomad_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/stretchr/testify/require"
	"github.com/zclconf/go-cty/cty"
)

// The parts of a Nomad job that matter here: https://developer.hashicorp.com/nomad/docs/job-specification.

type job struct {
	Name   string   `hcl:"name,label"`
	Type   string   `hcl:"type,optional"`
	Groups []group  `hcl:"group,block"`
	Rest   hcl.Body `hcl:",remain"`
}

// kind is the type, which Nomad takes for "service" where none is given.
func (j *job) kind() string {
	if j.Type == "" {
		return "service"
	}
	return j.Type
}

type group struct {
	Name     string    `hcl:"name,label"`
	Network  network   `hcl:"network,block"`
	Services []service `hcl:"service,block"`
	Tasks    []task    `hcl:"task,block"`
	Rest     hcl.Body  `hcl:",remain"`
}

type network struct {
	Ports []port   `hcl:"port,block"`
	Rest  hcl.Body `hcl:",remain"`
}

type port struct {
	Name   string `hcl:"name,label"`
	Static int    `hcl:"static,optional"`
}

type service struct {
	Name string   `hcl:"name"`
	Tags []string `hcl:"tags,optional"`
	Rest hcl.Body `hcl:",remain"`
}

type task struct {
	Name      string     `hcl:"name,label"`
	Env       env        `hcl:"env,block"`
	Templates []rendered `hcl:"template,block"`
	Rest      hcl.Body   `hcl:",remain"`

	context *hcl.EvalContext
}

type env struct {
	Variables hcl.Attributes `hcl:",remain"`
}

type rendered struct {
	Data        string   `hcl:"data"`
	Destination string   `hcl:"destination"`
	Env         bool     `hcl:"env,optional"`
	Perms       string   `hcl:"perms,optional"`
	Rest        hcl.Body `hcl:",remain"`
}

// environment gives the variables of the block env.
func (t *task) environment(tb testing.TB) map[string]string {
	tb.Helper()
	environ := map[string]string{}
	for name, attribute := range t.Env.Variables {
		value, diagnostics := attribute.Expr.Value(t.context)
		require.False(tb, diagnostics.HasErrors(), diagnostics.Error())
		environ[name] = value.AsString()
	}
	return environ
}

// parse reads a job. What it refers to has to be given, by names such as "var.email"; variables that are not given have
// their defaults.
func parse(t *testing.T, file string, given map[string]string) *job {
	t.Helper()
	parsed, diagnostics := hclparse.NewParser().ParseHCLFile(file)
	require.False(t, diagnostics.HasErrors(), diagnostics.Error())
	var whole struct {
		Variables []struct {
			Name    string   `hcl:"name,label"`
			Default *string  `hcl:"default,optional"`
			Rest    hcl.Body `hcl:",remain"`
		} `hcl:"variable,block"`
		Job hcl.Body `hcl:",remain"`
	}
	diagnostics = gohcl.DecodeBody(parsed.Body, nil, &whole)
	require.False(t, diagnostics.HasErrors(), diagnostics.Error())
	values := maps.Clone(given)
	for _, variable := range whole.Variables {
		if _, is := given["var."+variable.Name]; !is && variable.Default != nil {
			values["var."+variable.Name] = *variable.Default
		}
	}
	context := &hcl.EvalContext{Variables: nested(values)}
	var content struct {
		Job job `hcl:"job,block"`
	}
	diagnostics = gohcl.DecodeBody(whole.Job, context, &content)
	require.False(t, diagnostics.HasErrors(), diagnostics.Error())
	for i := range content.Job.Groups {
		for j := range content.Job.Groups[i].Tasks {
			content.Job.Groups[i].Tasks[j].context = context
		}
	}
	return &content.Job
}

// nested makes objects of names with dots.
func nested(values map[string]string) map[string]cty.Value {
	made := map[string]cty.Value{}
	inner := map[string]map[string]string{}
	for name, value := range values {
		first, rest, dotted := strings.Cut(name, ".")
		if !dotted {
			made[name] = cty.StringVal(value)
			continue
		}
		if inner[first] == nil {
			inner[first] = map[string]string{}
		}
		inner[first][rest] = value
	}
	for name, values := range inner {
		made[name] = cty.ObjectVal(nested(values))
	}
	return made
}
