package dir

import (
	"io/fs"
	"os"
	"time"
)

// How much a directory's modification time is trusted.
const (
	// granularity is the coarsest step of a file system's clock (FAT has two seconds): what was changed less than this
	// before it was looked at may be changed once more without a trace.
	granularity = 2 * time.Second
	// relist is how often a directory is listed whatever its time says, for files that were overwritten in place, which
	// no Tricot does.
	relist = 10 * time.Second
)

// A stamp is how a directory or file looked before it was read.
type stamp struct {
	info  fs.FileInfo
	since time.Time // when it was first seen to look like this
	last  time.Time // when it was last read
}

// unchanged says that what was read is still right: it looks the same, and had looked so for long enough when it was
// read, by its own clock or by ours, for any change after that to show.
func (s stamp) unchanged(info fs.FileInfo) bool {
	old := s.last.Sub(s.info.ModTime()) >= granularity || s.last.Sub(s.since) >= granularity
	return old && same(s.info, info)
}

// next is the stamp of what is going to be read again.
func (s stamp) next(info fs.FileInfo, now time.Time) stamp {
	if s.info != nil && same(s.info, info) {
		return stamp{info: info, since: s.since, last: now}
	}
	return stamp{info: info, since: now, last: now}
}

func same(was, is fs.FileInfo) bool {
	return os.SameFile(was, is) && was.ModTime().Equal(is.ModTime()) && was.Size() == is.Size()
}
