// Command relay stands before llama-server where a platform starts containers: it listens on $PORT, passes every request on over a
// connection of its own, hands each piece of a reply on at once, and on SIGTERM takes nothing new and ends when all replies have.
//
// A connection of its own, because llama-server closes one after each stream without saying so, and whoever uses it again gets a
// broken reply. Full duplex, because Go's HTTP/1 server stops reading the request's body as soon as the reply begins.
//
// With --check URL it asks once and exits with 0 if the answer is 200: a health check for an image that has no shell.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// ask exits with what a health check expects.
func ask(address string) {
	client := http.Client{Timeout: 3 * time.Second}
	reply, err := client.Get(address)
	if err == nil && reply.StatusCode == http.StatusOK {
		return
	}
	if err == nil {
		err = errors.New(reply.Status)
	}
	fmt.Fprintln(os.Stderr, "relay:", err)
	os.Exit(1)
}

// passing hands requests to the server behind.
func passing(to *url.URL) http.Handler {
	proxy := httputil.ReverseProxy{
		Rewrite: func(request *httputil.ProxyRequest) {
			request.SetURL(to)
			request.SetXForwarded()
		},
		Transport:     &http.Transport{DisableKeepAlives: true},
		FlushInterval: -1,
		ErrorHandler: func(writer http.ResponseWriter, _ *http.Request, err error) {
			writer.Header().Set("Retry-After", "1")
			http.Error(writer, err.Error(), http.StatusServiceUnavailable)
		},
	}
	return http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		_ = http.NewResponseController(writer).EnableFullDuplex() // HTTP/2 has it always
		proxy.ServeHTTP(writer, request)
	})
}

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	listen := flag.String("listen", ":"+port, "where requests come in; by default on $PORT, else on 8080")
	to := flag.String("to", "http://127.0.0.1:8081", "where llama-server listens")
	drain := flag.Duration("drain", time.Hour, "after SIGTERM, the longest that replies may still take")
	check := flag.String("check", "", "ask this address once, and exit with 0 if it answers 200")
	flag.Parse()
	if *check != "" {
		ask(*check)
		return
	}
	behind, err := url.Parse(*to)
	if err != nil {
		log.Fatal(err)
	}
	server := http.Server{Addr: *listen, Handler: passing(behind)}
	told, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		<-told.Done()
		patience, done := context.WithTimeout(context.Background(), *drain)
		defer done()
		ended <- server.Shutdown(patience)
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	if err := <-ended; err != nil {
		log.Fatal("relay: replies that were not finished: ", err)
	}
}
