# A service with tags of each kind. The program behind it answers each request with what it got, over HTTP on one port and
# over HTTPS, with a certificate that it signed itself, on the other.

job "web" {
  group "web" {
    count = 2

    network {
      port "http" {}
      port "https" {}
    }

    service {
      name = "web"
      port = "http"
      tags = [
        # A certificate for the name, and its traffic to here.
        "tricot www.example.com",
        # The same for a part of another name: paths that start with /web. Other services may have the rest.
        "tricot example.com/web",
        # Every name below, as long as no service with a higher priority than 10 can serve it; 100 is the usual one.
        "tricot *.example.com 10",
        # On every response.
        "tricot-add-header Strict-Transport-Security max-age=31536000; includeSubDomains",
        "tricot-add-header X-Served-By web",
        # Requests go to all instances, and not only to those on the machine or in the site that they came in at.
        "tricot-global-lb",
      ]
      check {
        type     = "http"
        path     = "/"
        interval = "5s"
        timeout  = "2s"
      }
    }

    service {
      name = "web-admin"
      port = "https"
      tags = [
        # This port speaks HTTPS. Its certificate is not verified.
        "tricot-https admin.example.com",
        # Requests go to all instances in the site of the machine that they came in at.
        "tricot-site-lb",
      ]
      check {
        type            = "http"
        protocol        = "https"
        tls_skip_verify = true
        path            = "/"
        interval        = "5s"
        timeout         = "2s"
      }
    }

    task "web" {
      driver = "docker"

      config {
        image = "mendhak/http-https-echo:36"
        ports = ["http", "https"]
      }

      env {
        HTTP_PORT  = "${NOMAD_PORT_http}"
        HTTPS_PORT = "${NOMAD_PORT_https}"
      }

      resources {
        cpu    = 100
        memory = 128
      }
    }
  }
}
