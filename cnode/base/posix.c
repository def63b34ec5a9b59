/* SPDX-License-Identifier: Apache-2.0 */
/* The names that Erlang has for the values of errno. */
#include "base/posix.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *posix_name(int error, char name[POSIX_NAME_SIZE])
{
	const char *libc_name = strerrorname_np(error);

	if (error == POSIX_ENOTSUPP) /* libc has no name for it */
		return "enotsupp";
	if (error == EOPNOTSUPP) /* libc: EOPNOTSUPP, OTP: enotsup */
		return "enotsup";
	if (!libc_name) {
		snprintf(name, POSIX_NAME_SIZE, "errno_%d", error);
		return name;
	}
	snprintf(name, POSIX_NAME_SIZE, "%s", libc_name);
	for (char *c = name; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return name;
}
