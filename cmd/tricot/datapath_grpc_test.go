package main_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// rawBytes is a codec whose messages are *[]byte as they are.
type rawBytes struct{}

func (rawBytes) Name() string { return "raw" }

func (rawBytes) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (rawBytes) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

var _ encoding.CodecV2 = rawBytes{}

// grpcBackend has a method of each kind, which says what came of a call that waits for its end.
type grpcBackend struct{ ended chan error }

// unary answers with what it got and the metadata "x-asked"; "fail" fails, and "until when" asks for the caller's deadline.
func (b *grpcBackend) unary(ctx context.Context, message []byte) ([]byte, error) {
	asked, _ := metadata.FromIncomingContext(ctx)
	_ = grpc.SetHeader(ctx, metadata.Pairs("x-head", strings.Join(asked["x-asked"], ","), "x-bytes-bin", "\x00\xff"))
	_ = grpc.SetTrailer(ctx, metadata.Pairs("x-trailer-bin", strings.Join(asked["x-asked-bin"], ",")))
	switch string(message) {
	case "fail":
		return nil, status.Error(codes.FailedPrecondition, "not today: 100 % ünable")
	case "until when":
		deadline, _ := ctx.Deadline()
		return []byte(deadline.Format(time.RFC3339)), nil
	}
	return message, nil
}

// collect takes a stream and answers with all of it.
func (b *grpcBackend) collect(stream grpc.ServerStream) error {
	var all []byte
	for {
		var message []byte
		err := stream.RecvMsg(&message)
		if err == io.EOF {
			return stream.SendMsg(&all)
		}
		if err != nil {
			return err
		}
		all = append(all, message...)
	}
}

// repeat sends one message three times, and fails at last.
func (b *grpcBackend) repeat(stream grpc.ServerStream) error {
	var message []byte
	if err := stream.RecvMsg(&message); err != nil {
		return err
	}
	for range 3 {
		if err := stream.SendMsg(&message); err != nil {
			return err
		}
	}
	stream.SetTrailer(metadata.Pairs("x-trailer", "behind three"))
	return status.Error(codes.DataLoss, "no more")
}

// echo sends each message back, and tells of the end.
func (b *grpcBackend) echo(stream grpc.ServerStream) error {
	for {
		var message []byte
		err := stream.RecvMsg(&message)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			b.ended <- stream.Context().Err()
			return err
		}
		if err := stream.SendMsg(&message); err != nil {
			return err
		}
	}
}

// serveGRPC starts it.
func serveGRPC(t *testing.T) (*grpcBackend, backend) {
	t.Helper()
	b := &grpcBackend{ended: make(chan error, 16)}
	stream := func(name string, handler func(grpc.ServerStream) error) grpc.StreamDesc {
		return grpc.StreamDesc{StreamName: name, ServerStreams: true, ClientStreams: true,
			Handler: func(_ any, s grpc.ServerStream) error { return handler(s) }}
	}
	server := grpc.NewServer(grpc.ForceServerCodecV2(rawBytes{}), grpc.MaxRecvMsgSize(8<<20))
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "tricot.Test",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Unary", Handler: func(_ any, ctx context.Context, decode func(any) error,
			_ grpc.UnaryServerInterceptor) (any, error) {
			var message []byte
			if err := decode(&message); err != nil {
				return nil, err
			}
			answer, err := b.unary(ctx, message)
			return &answer, err
		}}},
		Streams: []grpc.StreamDesc{stream("Collect", b.collect), stream("Repeat", b.repeat), stream("Echo", b.echo)},
	}, b)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		<-served
	})
	return b, backend{listener.Addr().String()}
}

// dialGRPC gives a client that speaks to Tricot.
func (p *proxy) dialGRPC(t *testing.T, name string) *grpc.ClientConn {
	t.Helper()
	client, err := grpc.NewClient("passthrough:///"+p.httpsAddress,
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{ServerName: name, RootCAs: p.roots()})),
		grpc.WithAuthority(name),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawBytes{}), grpc.MaxCallRecvMsgSize(8<<20)))
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestGRPC_WorksThroughAnH2CService(t *testing.T) {
	t.Parallel()
	b, served := serveGRPC(t)
	p := start(t, nil, served.service(t, "grpc", "tricot-h2c grpc.test/tricot.Test/"))
	p.awaitCertificate("grpc.test")
	client := p.dialGRPC(t, "grpc.test")
	bounded := func(t *testing.T) context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
		t.Cleanup(cancel)
		return ctx
	}
	call := func(ctx context.Context, message string, options ...grpc.CallOption) (string, error) {
		in, out := []byte(message), []byte(nil)
		err := client.Invoke(ctx, "/tricot.Test/Unary", &in, &out, options...)
		return string(out), err
	}
	stream := func(t *testing.T, ctx context.Context, method string) grpc.ClientStream {
		s, err := client.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/tricot.Test/"+method)
		require.NoError(t, err)
		return s
	}
	send := func(t *testing.T, s grpc.ClientStream, message string) {
		bytes := []byte(message)
		require.NoError(t, s.SendMsg(&bytes))
	}

	t.Run("unary, with metadata both ways", func(t *testing.T) {
		var head, trailer metadata.MD
		ctx := metadata.AppendToOutgoingContext(bounded(t), "x-asked", "one", "x-asked", "two", "x-asked-bin", "\x01\xfe")
		answer, err := call(ctx, "hello", grpc.Header(&head), grpc.Trailer(&trailer))
		require.NoError(t, err)
		assert.Equal(t, "hello", answer)
		assert.Equal(t, []string{"one,two"}, head["x-head"])
		assert.Equal(t, []string{"\x00\xff"}, head["x-bytes-bin"])
		assert.Equal(t, []string{"\x01\xfe"}, trailer["x-trailer-bin"])
	})
	t.Run("a message of nothing", func(t *testing.T) {
		answer, err := call(bounded(t), "")
		require.NoError(t, err)
		assert.Empty(t, answer)
	})
	t.Run("a message of 4 MiB", func(t *testing.T) {
		long := strings.Repeat("0123456789abcdef", 4<<20/16)
		answer, err := call(bounded(t), long)
		require.NoError(t, err)
		assert.True(t, answer == long)
	})
	t.Run("a status with its text", func(t *testing.T) {
		_, err := call(bounded(t), "fail")
		assert.Equal(t, codes.FailedPrecondition, status.Code(err))
		assert.Equal(t, "not today: 100 % ünable", status.Convert(err).Message())
	})
	t.Run("a method that is not there", func(t *testing.T) {
		var none []byte
		err := client.Invoke(bounded(t), "/tricot.Test/None", &none, &none)
		assert.Equal(t, codes.Unimplemented, status.Code(err))
	})
	t.Run("a service that has no rule", func(t *testing.T) {
		var none []byte
		err := client.Invoke(bounded(t), "/other.Test/None", &none, &none)
		assert.Equal(t, codes.Unimplemented, status.Code(err), "what gRPC makes of a 404")
	})
	t.Run("a stream of the client", func(t *testing.T) {
		s := stream(t, bounded(t), "Collect")
		for range 100 {
			send(t, s, strings.Repeat("x", 10_000))
		}
		require.NoError(t, s.CloseSend())
		var all []byte
		require.NoError(t, s.RecvMsg(&all))
		assert.Len(t, all, 1_000_000)
		assert.Equal(t, io.EOF, s.RecvMsg(&all))
	})
	t.Run("a stream of the server, and its status behind it", func(t *testing.T) {
		s := stream(t, bounded(t), "Repeat")
		send(t, s, "again")
		var message []byte
		for range 3 {
			require.NoError(t, s.RecvMsg(&message))
			assert.Equal(t, "again", string(message))
		}
		err := s.RecvMsg(&message)
		assert.Equal(t, codes.DataLoss, status.Code(err))
		assert.Equal(t, "no more", status.Convert(err).Message())
		assert.Equal(t, []string{"behind three"}, s.Trailer()["x-trailer"])
	})
	t.Run("streams of both, in turn", func(t *testing.T) {
		s := stream(t, bounded(t), "Echo")
		var message []byte
		for range 20 {
			send(t, s, "ping")
			require.NoError(t, s.RecvMsg(&message))
			require.True(t, bytes.Equal([]byte("ping"), message))
		}
		require.NoError(t, s.CloseSend())
		assert.Equal(t, io.EOF, s.RecvMsg(&message))
	})
	t.Run("a deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		answer, err := call(ctx, "until when")
		require.NoError(t, err)
		told, err := time.Parse(time.RFC3339, string(answer))
		require.NoError(t, err)
		deadline, _ := ctx.Deadline()
		assert.WithinDuration(t, deadline, told, patience)
	})
	t.Run("a caller that goes", func(t *testing.T) {
		ctx, cancel := context.WithCancel(bounded(t))
		s := stream(t, ctx, "Echo")
		send(t, s, "ping")
		var message []byte
		require.NoError(t, s.RecvMsg(&message))
		cancel()
		assert.Equal(t, codes.Canceled, status.Code(s.RecvMsg(&message)))
		select {
		case err := <-b.ended:
			assert.Error(t, err)
		case <-time.After(patience):
			require.FailNow(t, "the backend's stream goes on")
		}
	})
}
