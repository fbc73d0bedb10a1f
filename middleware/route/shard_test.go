package route

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func noParent(string) uint32 { return 0 }

func shardsOf(t *testing.T, tags ...string) shards {
	return newShards(compile(t, Location{}, instance("a", tags...)).hosts, noParent, new(pace))
}

func TestShards_FindEachHostByItsNameAndNoOther(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 127, 128, 2000} {
		var tags []string
		for i := range n {
			tags = append(tags, fmt.Sprintf("tricot h%d.com", i), fmt.Sprintf("tricot h%d.com/%d", i, i))
		}
		s := shardsOf(t, append(tags, "tricot *.com")...)
		for i := range n {
			in, at := s.find(fmt.Sprintf("h%d.com", i))
			require.NotNil(t, at, "%d of %d", i, n)
			assert.Equal(t, fmt.Sprintf("/%d", i), in.best(at, true, fmt.Sprintf("/%d", i)).route.Path)
			assert.Empty(t, in.best(at, true, "/x").route.Path)
			assert.Nil(t, in.best(at, false, "/x").route, "all are live")
		}
		for _, none := range []string{"", "*.com", "h0.co", "h0.comm", "x.com", strings.Repeat("h", 300)} {
			_, at := s.find(none)
			assert.Nil(t, at, none)
		}
	}
}

func TestShards_TellHostsApartWhoseTagsAndSlotsAreEqual(t *testing.T) {
	s := shardsOf(t, "tricot a.com")
	other := []byte(s.all[0].text)
	other[0] = 'b'
	s.all[0].text = string(other) // as if a host b.com had the hash of a.com
	_, at := s.find("a.com")
	assert.Nil(t, at)
}

func TestShards_HoldNamesPathsAndPrioritiesOfEachLength(t *testing.T) {
	label := strings.Repeat("x", 63)
	long := strings.Join([]string{label, label, label, label[:61]}, ".")
	require.Len(t, long, 253)
	path := "/" + strings.Repeat("p", 70_000)
	table := compile(t, Location{},
		instance("a", "tricot "+long+path+" -2147483648", "tricot "+long+"/ 2147483647", "tricot "+long+"/sick 0"),
		sick(instance("b", "tricot "+long+"/sick 7", "tricot x")))
	in, at := table.exact.find(long)
	require.NotNil(t, at)
	for _, c := range []struct {
		path     string
		live     bool
		matching string
		priority int
	}{
		{path, true, "/", 2147483647}, {"/sick", true, "/", 2147483647}, {"/sick", false, "/sick", 7},
	} {
		g := in.best(at, c.live, c.path)
		require.NotNil(t, g.route, c.path[:2])
		assert.Equal(t, c.matching, g.path)
		assert.Equal(t, c.matching, g.route.Path)
		assert.Equal(t, c.priority, g.priority)
		assert.Equal(t, c.priority, g.route.Priority)
		assert.Equal(t, exact, g.exactness)
	}
	assert.Nil(t, in.best(at, true, "*").route)
	assert.Nil(t, in.best(at, false, "/").route)

	table = compile(t, Location{}, instance("a", "tricot a.com"+path+" -2147483648"))
	assert.Equal(t, -2147483648, table.Find("a.com", path+"/x").Priority)
}

func TestShards_ASuccessorChangesNothingOfTheOneBefore(t *testing.T) {
	var before []string
	for i := range 1000 {
		before = append(before, fmt.Sprintf("tricot h%d.com", i))
	}
	table := compile(t, Location{}, instance("a", before...))
	s := newShards(table.hosts, noParent, new(pace))
	h1, h7 := table.host("h1.com"), table.host("h7.com")
	changed := compile(t, Location{}, instance("a", "tricot h7.com/new", "tricot new.com", "tricot *.com"))
	next := s.revise([]change{
		{name: "h1.com", was: h1}, {name: "h7.com", was: h7, to: changed.host("h7.com")}, {name: "new.com", to: changed.host("new.com")},
		{name: "*.com", to: changed.host("*.com")},
	}, noParent, new(pace))
	same := compile(t, Location{}, instance("a", "tricot h1.com", "tricot h7.com"))
	s = s.revise([]change{{name: "h1.com", was: h1, to: same.host("h1.com")}, {name: "h7.com", was: h7, to: same.host("h7.com")}}, noParent, new(pace))
	for i := range 1000 {
		name := fmt.Sprintf("h%d.com", i)
		in, at := s.find(name)
		require.NotNil(t, at, name)
		assert.NotNil(t, in.best(at, true, "/").route, name)
		in, at = next.find(name)
		if i == 1 {
			assert.Nil(t, at)
			continue
		}
		require.NotNil(t, at, name)
		assert.Equal(t, i != 7, in.best(at, true, "/").route != nil, name)
	}
	_, at := s.find("new.com")
	assert.Nil(t, at)
	_, at = next.find("new.com")
	assert.NotNil(t, at)
	in, at := next.find("h7.com")
	assert.Equal(t, "/new", in.best(at, true, "/new").route.Path)
}
