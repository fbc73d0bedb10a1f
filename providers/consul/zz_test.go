package consul_test
import ("testing";"fmt";"github.com/tricot-proxy/tricot/providers/consul";"github.com/tricot-proxy/tricot/providers/consul/consultest";"regexp";"sync")
func TestZZ(t *testing.T) {
	files, others := consultest.NewTLS(t), consultest.NewTLS(t)
	files.VerifyIncoming = true
	agent := consultest.Dev(t, consultest.Options{TLS: files})
	counts := map[string]int{}
	var mu sync.Mutex
	for i := range 400 {
		c := consul.Connection{Host: agent.HTTP, CACert: files.CA}
		if i%2 == 0 { c.ClientCert, c.ClientKey = others.ClientCert, others.ClientKey }
		cl := connect(t, c)
		var wg sync.WaitGroup
		for range 2 { wg.Go(func() {
		_, _, err := cl.Catalog().Services(nil)
		s := regexp.MustCompile(`:\d+`).ReplaceAllString(fmt.Sprintf("%v", err), "")
		mu.Lock(); counts[s]++; mu.Unlock() }) }
		wg.Wait()
	}
	for k, v := range counts { fmt.Println(v, k) }
}
