# Tricot on every machine that faces the internet.
#
# It runs beside the machine's Consul agent and speaks TLS to it, with a certificate and a token of its own. These come
# from the Nomad variable nomad/jobs/tricot, which tasks of this job may read and others may not; README.md fills it.

variable "artifact" {
  type        = string
  description = "The URL of an archive with the program tricot in it, as go-getter takes it"
}

variable "email" {
  type        = string
  description = "Where Let's Encrypt writes to about the certificates"
}

variable "issuer" {
  type        = string
  default     = "acme"
  description = "Who makes the certificates: acme, or local, an authority for development"
}

job "tricot" {
  type = "system"

  # The machines that face the internet have this in their Nomad configuration: client { meta { ingress = "true" } }.
  constraint {
    attribute = "${meta.ingress}"
    value     = "true"
  }

  # One machine after the other, so that the others serve meanwhile.
  update {
    max_parallel = 1
    stagger      = "30s"
  }

  group "tricot" {
    # What Tricot remembers of the catalog, to start with where Consul is away, stays on the machine over an update.
    ephemeral_disk {
      sticky = true
      size   = 110
    }

    network {
      mode = "host"
      port "http" { static = 80 }
      port "https" { static = 443 }
    }

    service {
      name = "tricot"
      port = "https"
      check {
        type     = "tcp"
        interval = "10s"
        timeout  = "2s"
      }
    }

    task "tricot" {
      driver = "exec"
      user   = "nobody"

      # Longer than shutdown.timeout, so that requests in flight are finished. Nomad's own limit is 30 s.
      kill_timeout = "29s"

      artifact {
        source      = var.artifact
        destination = "local/"
      }

      config {
        command  = "local/tricot"
        cap_drop = ["all"]
        cap_add  = ["net_bind_service"] # for the ports below 1024
      }

      env {
        TRICOT_NODE_NAME            = "${attr.unique.consul.name}"
        TRICOT_HTTP_BIND_ADDR       = "0.0.0.0:${NOMAD_PORT_http}"
        TRICOT_HTTPS_BIND_ADDR      = "0.0.0.0:${NOMAD_PORT_https}"
        TRICOT_CONSUL_HOST          = "https://127.0.0.1:8501"
        TRICOT_CONSUL_CA_CERT       = "${NOMAD_SECRETS_DIR}/consul-ca.pem"
        TRICOT_CONSUL_CLIENT_CERT   = "${NOMAD_SECRETS_DIR}/consul-cert.pem"
        TRICOT_CONSUL_CLIENT_KEY    = "${NOMAD_SECRETS_DIR}/consul-key.pem"
        TRICOT_CONSUL_KV_PREFIX     = "tricot/"
        TRICOT_CONSUL_SNAPSHOT_PATH = "${NOMAD_ALLOC_DIR}/data/consul-snapshot.json"
        TRICOT_CERTS_ISSUER         = var.issuer
        TRICOT_CERTS_DIR            = "${NOMAD_ALLOC_DIR}/data"
        TRICOT_LETSENCRYPT_EMAIL    = var.email
        TRICOT_ENABLE_COMPRESSION   = "true"
        TRICOT_SHUTDOWN_TIMEOUT     = "25s"
        TRICOT_LOG_FORMAT           = "json"
        TRICOT_LOG_LEVEL            = "info"
      }

      # A changed secret restarts Tricot, on each machine at some moment of two minutes and so not on all at once.

      template {
        data        = <<-EOT
          TRICOT_CONSUL_TOKEN={{ with nomadVar "nomad/jobs/tricot" }}{{ .consul_token }}{{ end }}
        EOT
        destination = "${NOMAD_SECRETS_DIR}/tricot.env"
        env         = true
        splay       = "2m"
      }

      template {
        data        = <<-EOT
          {{- with nomadVar "nomad/jobs/tricot" }}{{ .consul_ca }}{{ end }}
        EOT
        destination = "${NOMAD_SECRETS_DIR}/consul-ca.pem"
        splay       = "2m"
      }

      template {
        data        = <<-EOT
          {{- with nomadVar "nomad/jobs/tricot" }}{{ .consul_cert }}{{ end }}
        EOT
        destination = "${NOMAD_SECRETS_DIR}/consul-cert.pem"
        splay       = "2m"
      }

      # Only the task's user, nobody, may read the key.
      template {
        data        = <<-EOT
          {{- with nomadVar "nomad/jobs/tricot" }}{{ .consul_key }}{{ end }}
        EOT
        destination = "${NOMAD_SECRETS_DIR}/consul-key.pem"
        perms       = "0400"
        uid         = 65534
        gid         = 65534
        splay       = "2m"
      }

      resources {
        cpu    = 500
        memory = 256
      }
    }
  }
}
