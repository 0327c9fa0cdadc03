# shellcheck shell=bash
# The cluster's certificates and kubeconfigs, made once per state folder. Sourced, never run.

# sign NAME SUBJECT [SAN]: a key and a certificate for client and server use.
sign() {
    local name=$1 subject=$2 san=${3:-} extensions="extendedKeyUsage=clientAuth,serverAuth"
    [ -z "$san" ] || extensions+=$'\n'"subjectAltName=$san"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "$subject" \
        -keyout "$name.key" -out "$name.csr" 2>>"$LOG/certificates.log"
    openssl x509 -req -in "$name.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 \
        -extfile <(echo "$extensions") -out "$name.crt" 2>>"$LOG/certificates.log"
    rm "$name.csr"
}

make_certificates() {
    local dns=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc i
    dns+=,DNS:kubernetes.default.svc.cluster.local
    mkdir -p "$STATE/pki" && chmod 700 "$STATE/pki"
    cd "$STATE/pki" || return
    [ ! -e complete ] || return 0
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 \
        -subj /CN=datamesh-local -keyout ca.key -out ca.crt 2>>"$LOG/certificates.log"
    sign apiserver /CN=kube-apiserver "$dns,IP:$API_IP,IP:$CONTROL_IP,IP:127.0.0.1"
    sign admin /O=system:masters/CN=admin
    sign controller-manager /CN=system:kube-controller-manager
    sign scheduler /CN=system:kube-scheduler
    sign proxy /CN=system:kube-proxy
    sign kubelet-client /O=system:masters/CN=apiserver-kubelet
    for i in "${!NODES[@]}"; do
        sign "${NODES[i]}" "/O=system:nodes/CN=system:node:${NODES[i]}" "DNS:${NODES[i]},IP:$(node_ip $((i + 1)))"
    done
    openssl ecparam -genkey -name prime256v1 -noout -out sa.key
    openssl ec -in sa.key -pubout -out sa.pub 2>>"$LOG/certificates.log"
    touch complete
}

# make_kubeconfig NAME: self-contained, so that a copy of it works from anywhere on this machine.
make_kubeconfig() {
    local name=$1 pki=$STATE/pki
    (umask 077 && cat >"$STATE/$name.kubeconfig") <<YAML
apiVersion: v1
kind: Config
clusters:
  - name: datamesh-local
    cluster: {server: "$API", certificate-authority-data: $(base64 -w0 "$pki/ca.crt")}
users:
  - name: $name
    user:
      client-certificate-data: $(base64 -w0 "$pki/$name.crt")
      client-key-data: $(base64 -w0 "$pki/$name.key")
contexts:
  - name: datamesh-local
    context: {cluster: datamesh-local, user: $name}
current-context: datamesh-local
YAML
}

make_identities() {
    local name
    (make_certificates)
    for name in admin controller-manager scheduler proxy "${NODES[@]}"; do make_kubeconfig "$name"; done
}
