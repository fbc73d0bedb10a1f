// Command bulk is both ends of the transfers of bulk_linux_test.go. It is a program of its own because the race detector,
// with which the tests are built, makes each byte some ten times as costly.
//
//	bulk backend                                   prints its address, and serves until its standard input ends
//	bulk client -tricot ADDRESS -root FILE -http2  sends 1 GiB up, gets 1 GiB down, and checks each byte
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
)

// size of each transfer, in bytes.
const size = 1 << 30

func main() {
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "bulk:", err)
		os.Exit(1)
	}
}

func run(end string, arguments []string) error {
	if end == "backend" {
		return serve()
	}
	flags := flag.NewFlagSet(end, flag.ExitOnError)
	tricot := flags.String("tricot", "", "Tricot's HTTPS `address`")
	root := flags.String("root", "", "the `file` of the root certificate")
	http2 := flags.Bool("http2", false, "speak HTTP/2, else HTTP/1.1")
	_ = flags.Parse(arguments)
	client, err := newClient(*tricot, *root, *http2)
	if err != nil {
		return err
	}
	if err := upload(client); err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	if err := download(client); err != nil {
		return fmt.Errorf("download: %w", err)
	}
	return nil
}

func serve() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	failed := make(chan error, 1)
	go func() { failed <- http.Serve(listener, http.HandlerFunc(answer)) }()
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		ended <- err
	}()
	select {
	case err := <-failed:
		return err
	case err := <-ended:
		return err
	}
}

// answer checks what is sent and says how much it was, or sends as much.
func answer(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		n, err := transfer(&check{}, r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprint(w, n)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(size))
	_, _ = transfer(w, io.LimitReader(&content{}, size)) // the client sees what is missing
}

func newClient(address, root string, http2 bool) (*http.Client, error) {
	pem, err := os.ReadFile(root)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	var protocols http.Protocols
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	return &http.Client{Transport: &http.Transport{
		Protocols:          &protocols,
		TLSClientConfig:    &tls.Config{RootCAs: roots},
		DisableCompression: true,
		WriteBufferSize:    64 << 10,
		ReadBufferSize:     64 << 10,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}}, nil
}

const url = "https://app.test/"

// upload sends a body whose length is not told before: chunks, over HTTP/1.1.
func upload(client *http.Client) error {
	response, err := client.Post(url, "application/octet-stream", io.LimitReader(&content{}, size))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if string(said) != strconv.Itoa(size) {
		return fmt.Errorf("%s: the backend got %s bytes", response.Status, said)
	}
	return nil
}

func download(client *http.Client) error {
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	n, err := transfer(&check{}, response.Body)
	if err == nil && n != size {
		err = fmt.Errorf("%s: %d bytes", response.Status, n)
	}
	return err
}
