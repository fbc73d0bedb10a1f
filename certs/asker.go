package certs

import (
	"context"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxHeard is how many names handshakes may have noted that the asker has not looked at.
	maxHeard = 64
	// maxWaiting is how many new names may wait to be asked about.
	maxWaiting = 64
	// maxQuestions is how many questions may be under way.
	maxQuestions = 4
	// maxAnswers is how many answers are remembered. Of more, those are forgotten that would be so first.
	maxAnswers = 4096
	// budgetTime is the time in which no more new names are asked about than Options.NewNames.
	budgetTime = time.Minute
)

// How long an answer is remembered, in which handshakes for the name ask nothing. An allowed name is known to handshakes
// as soon as the loop has it, and its entry bridges the time until then.
const (
	refusedFor = time.Hour
	unwellFor  = time.Minute
	allowedFor = time.Minute
)

// An asker asks endpoints about names: new ones, which it hears of from handshakes, and those whose certificates are due,
// which it gets from the loop. What handshakes can make it do is bounded, however many they are, in requests and in
// memory.
type asker struct {
	*Keeper
	client   *http.Client
	heard    chan question // from handshakes
	renewals chan question // from the loop, which never waits
	answers  chan answer   // to the loop, which never waits for the asker
	// silent has the questions that were answered lately. It is immutable.
	silent atomic.Pointer[map[question]struct{}]

	// The rest belongs to run.
	done     chan answer // from the goroutines that ask
	running  int
	waiting  []question
	among    map[question]bool      // waiting, or under way
	answered map[question]time.Time // until when an answer is remembered
	forget   time.Time              // when the first of them is to be forgotten; zero: there is none
	begun    []time.Time            // when new names were asked about, a ring
	turn     int                    // where in begun the next one goes
	full     bool                   // the log knows that there are too many new names
	unwell   map[string]bool        // the URLs of which the log knows that they cannot be asked
}

func newAsker(k *Keeper, newNames int, transport http.RoundTripper) *asker {
	a := &asker{
		Keeper: k, client: newAskClient(transport),
		heard: make(chan question, maxHeard), renewals: make(chan question, maxQuestions), answers: make(chan answer),
		done: make(chan answer, maxQuestions), among: map[question]bool{}, answered: map[question]time.Time{},
		begun: make([]time.Time, newNames), unwell: map[string]bool{},
	}
	a.silent.Store(&map[question]struct{}{})
	return a
}

// hear notes the name of a handshake, unless it cannot be one, was answered lately, or there is no room. It never waits.
func (a *asker) hear(q question) {
	if !public(q.name) {
		return
	}
	if _, silent := (*a.silent.Load())[q]; silent {
		return
	}
	select {
	case a.heard <- q:
	default:
	}
}

// renew notes a name whose certificate is due, and says whether there was room.
func (a *asker) renew(q question) bool {
	select {
	case a.renewals <- q:
		return true
	default:
		return false
	}
}

// run asks until ctx ends, and returns when all questions have ended.
func (a *asker) run(ctx context.Context) {
	var asking sync.WaitGroup
	defer a.client.CloseIdleConnections()
	defer asking.Wait()
	start := func(q question, renewal bool) {
		a.running++
		asking.Go(func() {
			allowed, err := q.put(ctx, a.client)
			a.done <- answer{question: q, renewal: renewal, allowed: allowed, err: err}
		})
	}
	timer := time.NewTimer(budgetTime)
	defer timer.Stop()
	for {
		for a.running < maxQuestions && len(a.waiting) > 0 && a.spend() {
			q := a.waiting[0]
			a.waiting = a.waiting[1:]
			start(q, false)
		}
		a.clean()
		timer.Reset(a.wait())
		renewals := a.renewals
		if a.running == maxQuestions {
			renewals = nil
		}
		select {
		case <-ctx.Done():
			return
		case q := <-a.heard:
			a.queue(q)
		case q := <-renewals:
			start(q, true)
		case answer := <-a.done:
			a.running--
			if ctx.Err() != nil {
				return
			}
			a.note(answer)
			if !answer.renewal && !answer.allowed {
				break
			}
			select {
			case a.answers <- answer:
			case <-ctx.Done():
				return
			}
		case <-timer.C:
		}
	}
}

// queue has a new name wait for its turn, if there is a point in asking.
func (a *asker) queue(q question) {
	if _, known := a.serving.Load().exact[q.name]; known || a.among[q] || !a.answered[q].IsZero() {
		return
	}
	if signer, _ := a.signer(q.name); signer == nil {
		return
	}
	if len(a.waiting) == maxWaiting {
		if !a.full {
			a.full = true
			a.log.Warn("more new names are asked for in handshakes than endpoints are asked about: the others get no certificate",
				"in_a_minute", len(a.begun))
		}
		return
	}
	a.among[q] = true
	a.waiting = append(a.waiting, q)
}

// spend says whether a new name may be asked about now, and counts it.
func (a *asker) spend() bool {
	now := time.Now()
	if last := a.begun[a.turn]; !last.IsZero() && now.Sub(last) < budgetTime {
		return false
	}
	a.begun[a.turn] = now
	a.turn = (a.turn + 1) % len(a.begun)
	return true
}

// note remembers an answer.
func (a *asker) note(answer answer) {
	q := answer.question
	delete(a.among, q)
	if a.full && len(a.waiting) == 0 {
		a.full = false
		a.log.Info("new names of handshakes are no longer too many")
	}
	switch {
	case answer.err != nil && !a.unwell[q.url]:
		a.unwell[q.url] = true
		a.log.Warn("an endpoint cannot be asked about names on demand", "url", q.endpoint(), "name", q.name,
			"err", oneLine(answer.err.Error()))
	case answer.err == nil && a.unwell[q.url]:
		delete(a.unwell, q.url)
		a.log.Info("an endpoint can be asked about names on demand again", "url", q.endpoint())
	}
	hold := refusedFor
	if answer.err != nil {
		hold = unwellFor
	} else if answer.allowed {
		hold = allowedFor
	} else {
		a.log.Debug("no certificate on demand: the endpoint refuses the name", "name", q.name, "url", q.endpoint())
	}
	if len(a.answered) >= maxAnswers {
		var first question
		for q, until := range a.answered {
			if a.answered[first].IsZero() || until.Before(a.answered[first]) {
				first = q
			}
		}
		delete(a.answered, first)
	}
	a.answered[q] = time.Now().Add(hold)
	a.publish()
}

// clean forgets answers whose time has passed.
func (a *asker) clean() {
	now := time.Now()
	if a.forget.IsZero() || now.Before(a.forget) {
		return
	}
	maps.DeleteFunc(a.answered, func(_ question, until time.Time) bool { return !now.Before(until) })
	a.publish()
}

// publish lets handshakes know what was answered.
func (a *asker) publish() {
	silent := make(map[question]struct{}, len(a.answered))
	a.forget = time.Time{}
	for q, until := range a.answered {
		silent[q] = struct{}{}
		if a.forget.IsZero() || until.Before(a.forget) {
			a.forget = until
		}
	}
	a.silent.Store(&silent)
}

// wait is the time until there is something to do though nothing happens.
func (a *asker) wait() time.Duration {
	wait := refusedFor
	if !a.forget.IsZero() {
		wait = min(wait, time.Until(a.forget))
	}
	if len(a.waiting) > 0 && a.running < maxQuestions {
		wait = min(wait, time.Until(a.begun[a.turn].Add(budgetTime)))
	}
	return wait
}
