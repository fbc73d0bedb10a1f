package settings

// An absence is a choice that this version cannot serve yet.
type absence struct {
	key    string
	chosen func(*Settings) bool
	reason string
}

// absences lists what this version does not have. A line goes when the code comes that does it.
func absences() []absence {
	return []absence{
		{"metrics.bind_addr", func(s *Settings) bool { return s.Metrics.BindAddr != "" },
			"metrics are not in this version; leave metrics.bind_addr empty"},
	}
}

// absences refuses what this version does not have. What such a choice would need is not asked for then.
func (c *check) absences(absent []absence) {
	for _, absence := range absent {
		if !c.wrong[absence.key] && absence.chosen(c.Settings) {
			c.refuse(absence.reason, absence.key)
		}
	}
}
