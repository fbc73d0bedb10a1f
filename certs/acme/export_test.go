package acme

import "time"

// PollEvery sets the pause between two looks at what the CA works on, for a new issuer.
func (i *Issuer) PollEvery(pause time.Duration) { i.poll = pause }
