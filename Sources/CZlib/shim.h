// The system's zlib: libz of macOS, zlib1g-dev of Debian and Ubuntu.
#include <zlib.h>
