/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXIT_STATUS_H
#define EXIT_STATUS_H

/* Each way in which a start can fail has a status of its own. */
enum exit_status {
	STATUS_OK = 0,
	STATUS_OTHER = 1,
	STATUS_USAGE = 2,
	STATUS_COOKIE = 3,
	STATUS_PRIVILEGE = 4,
	STATUS_LISTEN = 5,
	STATUS_EPMD = 6,
	STATUS_NAME_TAKEN = 7,
	STATUS_TLS = 8, /* files of --tls: they may be right at the next try */
};

#endif
