package tickets_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/certstest"
	"github.com/tricot-proxy/tricot/certs/tickets"
)

const tls13 = 0x0304

// The tests here run in bubbles, whose time passes as fast as nothing happens in them.

// sleep lets time pass, and what is due then be done.
func sleep(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// A visit is a ticket that was given out.
type visit struct {
	client *client
	at     time.Time
}

func TestKeys_NoTicketIsRefusedWithinADayNorTakenAfterADayAndAHalf(t *testing.T) {
	for name, off := range map[string]time.Duration{
		"clocks agree": 0, "five minutes ahead": 5 * time.Minute, "five minutes behind": -5 * time.Minute,
		"three hours ahead": 3 * time.Hour, "three hours behind": -3 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, m := newCluster(t), newMemory()
				both := []*instance{c.begin(m.open(), 0), c.begin(m.open(), off)}
				sleep(time.Second)
				skew := max(off, -off)
				var visits []visit
				for begin := time.Now(); time.Since(begin) < 64*time.Hour; {
					for n, i := range both {
						visits = append(visits, visit{i.visitor(tls13), time.Now()})
						fresh := visits[len(visits)-1].client
						require.True(t, both[1-n].resumes(fresh), "at once, by the other, at %v", time.Now())
					}
					for len(visits) > 0 && time.Since(visits[0].at) > tickets.Lifetime+skew+time.Minute {
						for _, i := range both {
							require.False(t, i.resumes(visits[0].client), "after %v", time.Since(visits[0].at))
						}
						visits = visits[1:]
					}
					for _, visit := range visits {
						if age := time.Since(visit.at); age > 22*time.Hour+30*time.Minute-skew && age < 24*time.Hour-skew {
							for _, i := range both {
								require.True(t, i.resumes(visit.client), "after %v, at %v", age, time.Now())
							}
						}
					}
					sleep(time.Hour + 7*time.Second)
				}
				assert.Zero(t, c.log.Count("WARN")+c.log.Count("ERROR"), c.log)
			})
		})
	}
}

func TestKeys_AreRenewedByOneOfManyInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, m := newCluster(t), newMemory()
		for range 5 {
			c.begin(m.open(), 0)
		}
		sleep(3*24*time.Hour + 2*time.Hour)
		assert.Equal(t, 1+6, m.written(t), "the first keys, and one each half a day")
		assert.Equal(t, 1+6, c.log.Count("session ticket keys renewed"))
		assert.Len(t, inStore(t, m.open()), 4, "those that still open, and the next one")
	})
}

func TestKeys_ThatAreKnownServeWhileTheStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, m := newCluster(t), newMemory()
		cutOff := m.open()
		a, b := c.begin(m.open(), 0), c.begin(cutOff, 0)
		sleep(time.Second)
		cutOff.cut(true)
		for range 23 { // the key of that time and the next one
			require.True(t, a.resumes(b.visitor(tls13)))
			require.True(t, b.resumes(a.visitor(tls13)))
			sleep(time.Hour)
		}
		sleep(72 * time.Hour)
		left := b.visitor(tls13)
		assert.True(t, b.resumes(left), "by keys of its own")
		assert.False(t, a.resumes(left))
		assert.False(t, b.resumes(a.visitor(tls13)))
		sleep(24*time.Hour - time.Minute)
		assert.True(t, b.resumes(left), "these are good for a day too")
		sleep(13 * time.Hour)
		assert.False(t, b.resumes(left), "and have an end")
		assert.Equal(t, 1, c.log.Count("cannot be shared"), c.log)
		assert.Zero(t, c.log.Count("shared again"))

		left = b.visitor(tls13)
		cutOff.cut(false)
		sleep(time.Second)
		assert.True(t, a.resumes(b.visitor(tls13)))
		assert.True(t, b.resumes(a.visitor(tls13)))
		assert.True(t, b.resumes(left), "what it gave out meanwhile")
		assert.Equal(t, 1, c.log.Count("shared again"))
		assert.Equal(t, 1, c.log.Count("cannot be shared"))
	})
}

func TestKeys_AStartWaitsForNoStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, m := newCluster(t), newMemory()
		s := m.open()
		s.cut(true)
		idle := c.idle(s, 0)
		assert.True(t, idle.resumes(idle.visitor(tls13)), "before it runs")
		visitor := idle.visitor(tls13)
		certstest.Run(t, idle.keys.Run)
		sleep(time.Minute)
		assert.True(t, idle.resumes(visitor), "after that")
		select {
		case <-idle.keys.Ready():
			assert.Fail(t, "ready without the store")
		default:
		}
		s.cut(false)
		idle.awaitReady()
		assert.True(t, idle.resumes(visitor))
		assert.True(t, idle.resumes(c.start(m.open()).visitor(tls13)))
		assert.Zero(t, c.log.Count("ERROR"), c.log)
	})
}

func TestKeys_ARecordThatIsDamagedIsReplacedAndNoSessionIsLost(t *testing.T) {
	secret := `"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="`
	for name, value := range map[string]string{
		"empty": "", "nonsense": "nonsense", "no keys": `{"keys":[]}`, "a short key": `{"keys":[{"from":"2000-01-01T00:00:00Z","key":"AAAA"}]}`,
		"no time": `{"keys":[{"key":` + secret + `}]}`, "another type": `{"keys":{"a":` + secret + `}}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, m := newCluster(t), newMemory()
				a, b := c.begin(m.open(), 0), c.begin(m.open(), 0)
				sleep(time.Hour)
				before := inStore(t, m.open())
				visitor := a.visitor(tls13)
				put(t, m.open(), value)
				sleep(2 * time.Minute)
				assert.Equal(t, before, inStore(t, m.open()))
				assert.True(t, b.resumes(visitor))
				damaged := c.log.Count("damaged and will be replaced")
				assert.True(t, damaged == 1 || damaged == 2, "once for each instance that saw it: %s", c.log)
				assert.NotContains(t, c.log.String(), secret)

				a.stop()
				b.stop()
				put(t, m.open(), value) // and nobody knows better
				young := c.start(m.open())
				sleep(2 * time.Minute)
				assert.Len(t, inStore(t, m.open()), 2)
				assert.True(t, young.resumes(young.visitor(tls13)))
			})
		})
	}
}

func TestKeys_ThatAreDeletedOpenNothingAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, m := newCluster(t), newMemory()
		a, b := c.begin(m.open(), 0), c.begin(m.open(), 0)
		sleep(time.Hour)
		before := inStore(t, m.open())
		visitor := a.visitor(tls13)
		require.NoError(t, m.open().Delete(t.Context(), tickets.Key))
		sleep(time.Second)
		for secret := range inStore(t, m.open()) {
			assert.NotContains(t, before, secret)
		}
		assert.False(t, a.resumes(visitor))
		assert.False(t, b.resumes(visitor))
		assert.True(t, b.resumes(a.visitor(tls13)))
	})
}

func TestKeys_OfAClockThatIsYearsAheadAreReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, m := newCluster(t), newMemory()
		wrong := c.begin(m.open(), 20*365*24*time.Hour)
		sleep(time.Second)
		wrong.stop()
		c.log = &certstest.Logbook{}
		a, b := c.start(m.open()), c.start(m.open())
		sleep(2 * time.Minute)
		assert.True(t, b.resumes(a.visitor(tls13)))
		for _, from := range inStore(t, m.open()) {
			assert.Less(t, time.Until(from), 24*time.Hour)
		}
		assert.NotZero(t, c.log.Count("clock that is wrong"))
		assert.LessOrEqual(t, c.log.Count("made by a clock that is wrong,"), 2, "once for each instance")
		sleep(2 * time.Hour)
		assert.Equal(t, c.log.Count("was made by a clock that is wrong"), c.log.Count("no longer made by a clock that is wrong"))

		// It comes back, and they cannot agree: that costs little, and no handshake.
		wrong = c.begin(m.open(), 20*365*24*time.Hour)
		before := m.written(t)
		sleep(time.Hour)
		assert.LessOrEqual(t, m.written(t)-before, 2*60+2, "not more than one write a minute for each side")
		assert.True(t, a.resumes(a.visitor(tls13)))
		assert.True(t, wrong.resumes(wrong.visitor(tls13)))
		assert.LessOrEqual(t, c.log.Count("was made by a clock that is wrong"), 4)
	})
}

func TestKeys_TheStoreOfAClusterThatWasOffForDaysIsTakenUpAgain(t *testing.T) {
	for _, hours := range []time.Duration{20, 30, 100} {
		t.Run(fmt.Sprintf("%d hours", hours), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, m := newCluster(t), newMemory()
				old := c.start(m.open())
				visitor := old.visitor(tls13)
				old.stop()
				sleep(hours * time.Hour)
				a, b := c.start(m.open()), c.start(m.open())
				sleep(2 * time.Minute)
				assert.Equal(t, hours < 36, a.resumes(visitor))
				for range 48 {
					require.True(t, a.resumes(b.visitor(tls13)))
					require.True(t, b.resumes(a.visitor(tls13)))
					sleep(time.Hour)
				}
			})
		})
	}
}
