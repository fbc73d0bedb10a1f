package tickets_test

import (
	"crypto/tls"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// plain is what crypto/tls does without us.
func plain(c *cluster) *tls.Config { return &tls.Config{GetCertificate: c.certs.get} }

func TestTickets_AreGoodForTheirNameAlone(t *testing.T) {
	t.Parallel()
	overTLS(t, func(t *testing.T, version uint16) {
		c := newCluster(t)
		c.certs.byName.Store("other.example.com", newCertificate(t, "other.example.com"))
		visit := func(config *tls.Config, asked string) (*client, bool) {
			visitor := &client{version: version}
			_, err := connect(config, visitor, "app.example.com")
			require.NoError(t, err)
			require.NotNil(t, visitor.session)
			visitor.kept = true
			resumed, err := connect(config, visitor, asked)
			require.NoError(t, err)
			return visitor, resumed
		}
		_, resumed := visit(plain(c), "other.example.com")
		require.True(t, resumed, "the client offers the session to the other name, and crypto/tls takes it")

		i := c.idle(newMemory().open(), 0)
		_, resumed = visit(i.config, "other.example.com")
		assert.False(t, resumed)
		_, resumed = visit(i.config, "APP.example.com")
		assert.True(t, resumed)
		visitor, _ := visit(i.config, "other.example.com")
		assert.True(t, i.resumes(visitor), "the session of its own name is none the worse")

		// Two names with one certificate are two names still.
		one, _ := c.certs.byName.Load("app.example.com")
		c.certs.byName.Store("other.example.com", one)
		_, resumed = visit(i.config, "other.example.com")
		assert.False(t, resumed)
	})
}

func TestTickets_OpenNoNameThatGetsNoCertificateAnyMore(t *testing.T) {
	t.Parallel()
	overTLS(t, func(t *testing.T, version uint16) {
		c := newCluster(t)
		i := c.idle(newMemory().open(), 0)
		visitor := i.visitor(version)
		c.certs.byName.Delete("app.example.com")
		_, err := connect(i.config, visitor, "app.example.com")
		assert.ErrorContains(t, err, "unrecognized name")
	})
}

func TestTickets_EndWithTheirCertificate(t *testing.T) {
	t.Parallel()
	overTLS(t, func(t *testing.T, version uint16) {
		c := newCluster(t)
		i := c.idle(newMemory().open(), 0)
		visitor := i.visitor(version)
		require.True(t, i.resumes(visitor))
		c.certs.byName.Store("app.example.com", newCertificate(t, "app.example.com"))
		assert.False(t, i.resumes(visitor))
		assert.True(t, i.resumes(i.visitor(version)))
	})
}

func TestTickets_AreGivenToClientsWithoutANameToo(t *testing.T) {
	t.Parallel()
	overTLS(t, func(t *testing.T, version uint16) {
		c := newCluster(t)
		c.certs.byName.Store("", newCertificate(t, "any.example.com"))
		i := c.idle(newMemory().open(), 0)
		visitor := &client{version: version}
		for _, want := range []bool{false, true, true} {
			resumed, err := connect(i.config, visitor, "127.0.0.1") // for which there is no SNI
			require.NoError(t, err)
			assert.Equal(t, want, resumed)
		}
		visitor.kept = true
		assert.False(t, i.resumes(visitor), "a name")
	})
}

func TestApply_HoldsForCopiesAndForSeveralConfigurations(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	i := c.idle(newMemory().open(), 0)
	other := &tls.Config{GetCertificate: c.certs.get, MinVersion: tls.VersionTLS13}
	i.keys.Apply(other)
	visitor := i.visitor(tls13)
	for _, config := range []*tls.Config{i.config.Clone(), other, other.Clone()} {
		resumed, err := connect(config, visitor, "app.example.com")
		require.NoError(t, err)
		assert.True(t, resumed)
	}
	resumed, err := connect(plain(c), visitor, "app.example.com")
	require.NoError(t, err)
	assert.False(t, resumed)
}

func TestTickets_ThatAreNoneMeanAFullHandshake(t *testing.T) {
	t.Parallel()
	overTLS(t, func(t *testing.T, version uint16) {
		c := newCluster(t)
		i := c.idle(newMemory().open(), 0)
		ticket, state, err := i.visitor(version).session.ResumptionState()
		require.NoError(t, err)
		for name, change := range map[string]func([]byte) []byte{
			"changed": func(b []byte) []byte { b[len(b)/2]++; return b },
			"cut":     func(b []byte) []byte { return b[:len(b)-1] },
			"short":   func(b []byte) []byte { return b[:3] },
			"zero":    func(b []byte) []byte { clear(b); return b },
		} {
			session, err := tls.NewResumptionState(change(append([]byte(nil), ticket...)), state)
			require.NoError(t, err)
			assert.False(t, i.resumes(&client{version: version, session: session}), name)
		}
	})
}
