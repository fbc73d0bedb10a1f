package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// printTour says what to try.
func printTour(out io.Writer, ports ports, root, services string) {
	root, services = quoted(shown(root)), shown(services)
	secure := func(path string) string { return quoted(url("https", ports.HTTPS, path)) }
	plain := func(path string) string { return quoted(url("http", ports.HTTP, path)) }

	var b strings.Builder
	fmt.Fprintf(&b, "\nTricot runs at %s, with two services behind it. To try in another terminal:\n",
		url("https", ports.HTTPS, "/"))
	for _, step := range []struct{ what, command string }{
		{"HTTPS, verified against the local root", "curl --cacert " + root + " " + secure("/")},
		{"plain HTTP is sent to HTTPS", "curl -i " + plain("/page?from=http")},
		{"both services take turns", "curl -s --cacert " + root + " " + secure("/?request=[1-4]")},
		{"a path that one of them serves alone", "curl -s --cacert " + root + " " + secure("/two?request=[1-4]")},
		{"a header that a tag sets", "curl -sI --cacert " + root + " " + secure("/")},
		{"a compressed answer, and its size on the wire", "curl -s --cacert " + root +
			" -H 'Accept-Encoding: br, gzip' -o /dev/null -w '%{size_download} bytes\\n' " + secure("/page")},
		{"events, as they happen", "curl -N --cacert " + root + " " + secure("/events")},
	} {
		fmt.Fprintf(&b, "\n  %s\n    %s\n", step.what, step.command)
	}
	fmt.Fprintf(&b, "\n  all of it on a page, live\n    %s\n", url("http", ports.Admin, "/"))
	fmt.Fprintf(&b, "\n  rules that change while it runs: edit %s, and ask again\n", services)
	b.WriteString("\nCtrl-C ends all of it.\n\n")
	_, _ = io.WriteString(out, b.String())
}

func url(scheme string, port int, path string) string {
	return scheme + "://" + net.JoinHostPort("localhost", strconv.Itoa(port)) + path
}

// quoted keeps a shell from reading more into a word than there is.
func quoted(word string) string {
	if strings.ContainsAny(word, " ?&[") {
		return "'" + word + "'"
	}
	return word
}

// shown gives the short name of a path, where it has one from here.
func shown(path string) string {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	here, err := os.Getwd()
	if err != nil {
		return absolute
	}
	relative, err := filepath.Rel(here, absolute)
	if err != nil || strings.HasPrefix(relative, "..") {
		return absolute
	}
	return relative
}
