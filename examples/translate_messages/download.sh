#!/bin/sh
# Catalogues of 38 programs from Debian's packages (100 MB), unpacked into FOLDER; nothing is installed.
#   sh download.sh FOLDER
set -e
mkdir -p "$1" && cd "$1"
apt-get download apt aptitude-common audacity-data bash binutils-common coreutils darktable dpkg \
  evolution-common filezilla-common geany-common gettext git gnome-control-center-data \
  gnucash-common gnumeric-common gnupg-l10n gramps krita-l10n libc-l10n libgtk-3-common mc-data \
  mutt nautilus-data pidgin-data rhythmbox-data shotwell-common synaptic tar util-linux-locales \
  vim-runtime vlc-l10n wget
for package in *.deb; do
  dpkg-deb --fsys-tarfile "$package" |
    tar -x --wildcards '*/LC_MESSAGES/*.mo' '*/copyright' 2>/dev/null || true
  rm "$package"
done
