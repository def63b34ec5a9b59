%% SPDX-License-Identifier: Apache-2.0
%%
%% The names of Linux' error numbers, as on x86, ARM and RISC-V.
%% @private
-module(ebpf_metrics_errno).

-export([name/1]).

%% By its number from 1 on; two have no name.
-define(NAMES, {
    <<"EPERM">>, <<"ENOENT">>, <<"ESRCH">>, <<"EINTR">>, <<"EIO">>, <<"ENXIO">>, <<"E2BIG">>,
    <<"ENOEXEC">>, <<"EBADF">>, <<"ECHILD">>, <<"EAGAIN">>, <<"ENOMEM">>, <<"EACCES">>,
    <<"EFAULT">>, <<"ENOTBLK">>, <<"EBUSY">>, <<"EEXIST">>, <<"EXDEV">>, <<"ENODEV">>,
    <<"ENOTDIR">>, <<"EISDIR">>, <<"EINVAL">>, <<"ENFILE">>, <<"EMFILE">>, <<"ENOTTY">>,
    <<"ETXTBSY">>, <<"EFBIG">>, <<"ENOSPC">>, <<"ESPIPE">>, <<"EROFS">>, <<"EMLINK">>, <<"EPIPE">>,
    <<"EDOM">>, <<"ERANGE">>, <<"EDEADLK">>, <<"ENAMETOOLONG">>, <<"ENOLCK">>, <<"ENOSYS">>,
    <<"ENOTEMPTY">>, <<"ELOOP">>, none, <<"ENOMSG">>, <<"EIDRM">>, <<"ECHRNG">>, <<"EL2NSYNC">>,
    <<"EL3HLT">>, <<"EL3RST">>, <<"ELNRNG">>, <<"EUNATCH">>, <<"ENOCSI">>, <<"EL2HLT">>,
    <<"EBADE">>, <<"EBADR">>, <<"EXFULL">>, <<"ENOANO">>, <<"EBADRQC">>, <<"EBADSLT">>, none,
    <<"EBFONT">>, <<"ENOSTR">>, <<"ENODATA">>, <<"ETIME">>, <<"ENOSR">>, <<"ENONET">>,
    <<"ENOPKG">>, <<"EREMOTE">>, <<"ENOLINK">>, <<"EADV">>, <<"ESRMNT">>, <<"ECOMM">>,
    <<"EPROTO">>, <<"EMULTIHOP">>, <<"EDOTDOT">>, <<"EBADMSG">>, <<"EOVERFLOW">>, <<"ENOTUNIQ">>,
    <<"EBADFD">>, <<"EREMCHG">>, <<"ELIBACC">>, <<"ELIBBAD">>, <<"ELIBSCN">>, <<"ELIBMAX">>,
    <<"ELIBEXEC">>, <<"EILSEQ">>, <<"ERESTART">>, <<"ESTRPIPE">>, <<"EUSERS">>, <<"ENOTSOCK">>,
    <<"EDESTADDRREQ">>, <<"EMSGSIZE">>, <<"EPROTOTYPE">>, <<"ENOPROTOOPT">>, <<"EPROTONOSUPPORT">>,
    <<"ESOCKTNOSUPPORT">>, <<"EOPNOTSUPP">>, <<"EPFNOSUPPORT">>, <<"EAFNOSUPPORT">>,
    <<"EADDRINUSE">>, <<"EADDRNOTAVAIL">>, <<"ENETDOWN">>, <<"ENETUNREACH">>, <<"ENETRESET">>,
    <<"ECONNABORTED">>, <<"ECONNRESET">>, <<"ENOBUFS">>, <<"EISCONN">>, <<"ENOTCONN">>,
    <<"ESHUTDOWN">>, <<"ETOOMANYREFS">>, <<"ETIMEDOUT">>, <<"ECONNREFUSED">>, <<"EHOSTDOWN">>,
    <<"EHOSTUNREACH">>, <<"EALREADY">>, <<"EINPROGRESS">>, <<"ESTALE">>, <<"EUCLEAN">>,
    <<"ENOTNAM">>, <<"ENAVAIL">>, <<"EISNAM">>, <<"EREMOTEIO">>, <<"EDQUOT">>, <<"ENOMEDIUM">>,
    <<"EMEDIUMTYPE">>, <<"ECANCELED">>, <<"ENOKEY">>, <<"EKEYEXPIRED">>, <<"EKEYREVOKED">>,
    <<"EKEYREJECTED">>, <<"EOWNERDEAD">>, <<"ENOTRECOVERABLE">>, <<"ERFKILL">>, <<"EHWPOISON">>
}).

-spec name(integer()) -> binary() | none.
name(Number) when Number >= 1, Number =< tuple_size(?NAMES) -> element(Number, ?NAMES);
name(_Number) -> none.
