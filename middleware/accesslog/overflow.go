package accesslog

import "time"

// report says in the log when lines begin to be dropped, and when that has ended. It is a goroutine of its own, for the
// one that writes may just be waiting for a disk.
func (o *Output) report() {
	defer close(o.reported)
	for {
		select {
		case <-o.overflow:
			o.reportOverflow()
		case <-o.done:
			select {
			case <-o.overflow: // in the last moment
				o.reportOverflow()
			default:
			}
			return
		}
	}
}

// reportOverflow returns when no line has been dropped for a while, or all that could be written is.
func (o *Output) reportOverflow() {
	o.log.Warn("access log lines are dropped: they come faster than they can be written", "output", o.target.name)
	tick := time.NewTicker(settled)
	defer tick.Stop()
	for seen, over := 0, false; !over; {
		select {
		case <-tick.C:
		case <-o.done:
			over = true
		}
		o.mu.Lock()
		over = over || o.dropped == seen
		seen = o.dropped
		if over {
			o.dropping, o.dropped = false, 0
		}
		o.mu.Unlock()
		if over {
			o.log.Warn("no more access log lines are dropped", "output", o.target.name, "dropped", seen)
		}
	}
}
