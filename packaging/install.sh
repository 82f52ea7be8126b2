#!/bin/sh
# Installs Holm from a directory or an address that holds what `cargo xtask dist` made.
#
#   sh install.sh --from DIR|URL [--key FILE] [--version VERSION] [--agent]
#
# Where dpkg is, the Debian package; elsewhere the archive, below /usr/local. Everything is checked against SHA256SUMS
# first, and that against its signature when a key is given; nothing is changed when one does not match.
set -eu

from=${HOLM_INSTALL_FROM:-}
version=${HOLM_INSTALL_VERSION:-}
key=${HOLM_INSTALL_KEY:-}
package=holm
method=
prefix=/usr/local
list=$prefix/share/holm/installed

say() { printf '%s\n' "$*" >&2; }
die() {
    say "error: $1"
    [ $# -lt 2 ] || say "hint: $2"
    exit 1
}

usage() {
    cat <<'TEXT'
Installs Holm.

Usage: sh install.sh --from DIR|URL [--key FILE] [--version VERSION] [--agent] [--archive]

  --from DIR|URL     Where the files of a release are: a directory, https:// [env: HOLM_INSTALL_FROM]
  --key FILE         The public key that must have signed it (ssh-ed25519 ...) [env: HOLM_INSTALL_KEY]
  --version VERSION  Which one, when there are several [env: HOLM_INSTALL_VERSION]
  --agent            The agent of a node alone
  --archive          The archive, below /usr/local, also where dpkg is
TEXT
}

while [ $# -gt 0 ]; do
    case $1 in
        --from | --version | --key)
            [ $# -gt 1 ] || die "$1 needs a value" "see --help"
            case $1 in --from) from=$2 ;; --key) key=$2 ;; *) version=$2 ;; esac
            shift 2
            ;;
        --agent) package=holm-agent; shift ;;
        --archive) method=archive; shift ;;
        -h | --help) usage; exit 0 ;;
        *) die "unknown word \`$1\`" "see --help" ;;
    esac
done

[ -n "$from" ] || die "nobody said where the files are" "give --from DIR|URL or HOLM_INSTALL_FROM"

# Whether plain HTTP goes no further than this machine.
is_here() {
    host=${from#http://}
    host=${host%%[/?#]*}
    case $host in
        *@*) return 1 ;;
        localhost | localhost:* | 127.0.0.1 | 127.0.0.1:* | "[::1]" | "[::1]:"*) return 0 ;;
        *) return 1 ;;
    esac
}

case $from in
    https://* | file://*) ;;
    http://*)
        is_here || die "$from is not taken: over http:// anybody on the way can exchange the program and its sums" \
            "give an https:// address, or a directory"
        ;;
    *://*) die "$from is neither a directory nor an https:// address" "see --help" ;;
esac
[ "$(id -u)" = 0 ] || die "installing needs root" "run it with sudo"
command -v sha256sum >/dev/null || die "sha256sum is missing" "it is part of coreutils and of busybox"
[ -n "$method" ] || { if command -v dpkg >/dev/null; then method=deb; else method=archive; fi; }

case $(uname -m) in
    x86_64) machine=x86_64 debian=amd64 ;;
    aarch64 | arm64) machine=aarch64 debian=arm64 ;;
    *) die "there is no release for $(uname -m)" "build it: cargo xtask dist" ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# The wget of busybox takes any certificate: then only a signature shows whose files these are.
verifies_servers() {
    case $from in https://*) ;; *) return 0 ;; esac
    [ -n "$key" ] || ! wget --help 2>&1 | grep -qi busybox
}

fetch() {
    case $from in
        *://*)
            if command -v curl >/dev/null; then
                # Where it is sent on to must be as safe.
                curl --fail --silent --show-error --location --proto "=${from%%://*}" --proto-redir =https \
                    --output "$work/$1" "${from%/}/$1"
            elif command -v wget >/dev/null; then
                verifies_servers || die "this wget does not check whom it speaks to" "install curl, or give --key FILE"
                wget -q -O "$work/$1" "${from%/}/$1"
            else
                die "neither curl nor wget is here" "copy the files to a directory and give that with --from"
            fi
            ;;
        *) cp "${from%/}/$1" "$work/$1" ;;
    esac || die "cannot get $1 from $from" "check the address, and that it holds a whole release"
}

# The file of the release with this name around a version: the one that was said, or the only one.
choose() {
    found=$(awk -v head="$1" -v version="$version" -v tail="$2" '
        { name = $2; sub(/^\*/, "", name) }
        index(name, head) != 1 || substr(name, length(name) - length(tail) + 1) != tail { next }
        { middle = substr(name, length(head) + 1, length(name) - length(head) - length(tail)) }
        version == "" ? middle ~ /^[0-9][0-9A-Za-z.+~]*$/ : middle == version { print name }
    ' "$work/SHA256SUMS")
    case $found in
        '') die "$from has no $1${version:-VERSION}$2" "what it has is in its SHA256SUMS" ;;
        *"
"*) die "$from has several: $(echo "$found" | tr '\n' ' ')" "choose with --version" ;;
    esac
    printf '%s\n' "$found"
}

verify() {
    awk -v name="$1" '{ file = $2; sub(/^\*/, "", file) } file == name' "$work/SHA256SUMS" >"$work/sum"
    (cd "$work" && sha256sum -c sum >/dev/null 2>&1) \
        || die "$1 is not what SHA256SUMS says; nothing was installed" "get it again; if that does not help, tell whoever offers it"
}

# The sums are those of whoever has the other half of the key.
authenticate() {
    if [ -z "$key" ]; then
        say "No --key: whose files these are is not checked."
        return 0
    fi
    [ -r "$key" ] || die "the key $key cannot be read" "give a file with a line like \`ssh-ed25519 AAAA...\`"
    command -v ssh-keygen >/dev/null || die "ssh-keygen is missing" "it is part of openssh-client"
    fetch SHA256SUMS.sig
    sed -n 's/^\([a-z].*\)/release namespaces="holm-release" \1/p' "$key" >"$work/signers"
    ssh-keygen -Y verify -f "$work/signers" -I release -n holm-release -s "$work/SHA256SUMS.sig" \
        <"$work/SHA256SUMS" >/dev/null \
        || die "SHA256SUMS was not signed with $key; nothing was installed" \
            "is it the key of whoever makes these releases? If so, tell them"
}

install_deb() {
    file=$(choose "${package}_" "_$debian.deb")
    fetch "$file"
    verify "$file"
    # Replaces an older one; settings that were changed stay.
    DEBIAN_FRONTEND=noninteractive dpkg --install --force-confold "$work/$file" >&2 \
        || die "dpkg did not install $file" "its reason is above; \`apt-get install --fix-broken\` gets what is missing"
}

# put MODE SOURCE TARGET: whole or not at all, and noted for `holm uninstall`.
put() {
    mkdir -p "$(dirname "$3")"
    install -m "$1" "$2" "$3.new"
    mv -f "$3.new" "$3"
    note "$3"
}

note() { grep -qxF "$1" "$list" 2>/dev/null || printf '%s\n' "$1" >>"$list"; }

install_archive() {
    # A later `dpkg --purge` would take the settings of this one along.
    for left in holm holm-agent; do
        case $(dpkg-query --show --showformat='${db:Status-Status}' $left 2>/dev/null) in
            config-files) die "the package $left left its settings here" "dpkg --purge $left" ;;
        esac
    done
    file=$(choose "$package-" "-$machine-linux.tar.gz")
    fetch "$file"
    verify "$file"
    mkdir "$work/tree"
    tar -xzf "$work/$file" -C "$work/tree" || die "$file cannot be unpacked" "is there space in ${TMPDIR:-/tmp}?"
    tree=$work/tree/${file%.tar.gz}
    mkdir -p "$(dirname "$list")"
    put 755 "$tree/bin/holm" $prefix/bin/holm
    for settings in "$tree"/etc/*.toml; do
        target=/etc/holm/${settings##*/}
        if [ -e "$target" ]; then note "$target"; else put 644 "$settings" "$target"; fi
    done
    completions
    if [ -d /etc/systemd/system ]; then units; else say "There is no systemd here: start $prefix/bin/holm by your own means."; fi
    note "$list"
}

completions() {
    [ -d "$tree/completions" ] || return 0
    put 644 "$tree/completions/holm.bash" $prefix/share/bash-completion/completions/holm
    put 644 "$tree/completions/_holm" $prefix/share/zsh/site-functions/_holm
    put 644 "$tree/completions/holm.fish" $prefix/share/fish/vendor_completions.d/holm.fish
}

units() {
    if ! getent passwd holm >/dev/null; then
        if command -v systemd-sysusers >/dev/null; then
            systemd-sysusers "$tree/sysusers.d/holm.conf"
        else
            useradd --system --home-dir /var/lib/holm --shell /usr/sbin/nologin holm
        fi
        note "user:holm"
    fi
    for unit in "$tree"/systemd/*.service; do
        sed "s|/usr/bin/holm|$prefix/bin/holm|" "$unit" >"$work/unit"
        put 644 "$work/unit" "/etc/systemd/system/${unit##*/}"
    done
    [ -d /run/systemd/system ] || return 0
    systemctl daemon-reload
    for unit in "$tree"/systemd/*.service; do
        # Only what runs; instances of a node are not touched by that.
        systemctl try-restart "${unit##*/}"
    done
}

fetch SHA256SUMS
authenticate
install_"$method"
say "Holm is installed. Settings are in /etc/holm; then, for the role of this machine:"
say "  systemctl enable --now holm-node      # or holm-root, holm-cluster"
