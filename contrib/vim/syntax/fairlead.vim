" SPDX-License-Identifier: Apache-2.0
" fairlead.vim - syntax of fairlead.conf(5); made by man/gen.py from the directive table
if exists("b:current_syntax")
  finish
endif
syn iskeyword @,48-57,_,-,.
syn match fairleadComment /\%(^\|[[:space:]{};]\)\@1<=#.*$/
syn region fairleadString start=/"/ skip=/\\./ end=/"/ oneline contains=fairleadVariable
syn region fairleadString start=/`/ end=/`/
syn match fairleadVariable /\${[^}]*}/
syn match fairleadNumber /\<\d\+\%(\.\d\+\)\?\%(us\|ms\|[smhdkg]\|[kmg]bit\)\?\>/
syn keyword fairleadValue 1.2 1.3 2 3 4 abort aligned auto
syn keyword fairleadValue body both bytes combined consolidated cores cpu custom
syn keyword fairleadValue debug default drain early err full http http/1.1
syn keyword fairleadValue info jhash json kernel least-connection least-load local maint
syn keyword fairleadValue monitors names none off on optional ping quick
syn keyword fairleadValue ready redirect refuse reject required respond rfc7239 round-robin
syn keyword fairleadValue rss rules serve shared source-ip-hash staggered status tcp
syn keyword fairleadValue tls toeplitz trust udp use vserver warn when
syn keyword fairleadValue x-forwarded
syn keyword fairleadDirective access-log alpn backlog backup body-rate body-timeout buffer-memory buffer-response
syn keyword fairleadDirective ca cert ciphers ciphersuites client-ca client-verify congestion connect-timeout
syn keyword fairleadDirective consolidate control-core core crash-block default distribute drain-generations drain-timeout
syn keyword fairleadDirective error-log every expect fall forwarded function groups half-close
syn keyword fairleadDirective hash head-timeout heartbeat-timeout host http idle-max idle-timeout include
syn keyword fairleadDirective keepalive-max key-share-check listen max-bandwidth max-body max-connections max-fields max-head
syn keyword fairleadDirective max-objects max-request-line method min-version ocsp policy port protocol
syn keyword fairleadDirective rebalance redirect reject remove-header remove-response-header request-id resolver respond
syn keyword fairleadDirective response-timeout responses retries rise send service set-header set-response-header
syn keyword fairleadDirective shutdown-grace sni socket state ticket-keys ticket-lifetime tickets timeout
syn keyword fairleadDirective tls trust-forwarded tuple unknown-sni upgrade use user verify
syn keyword fairleadDirective via view weight workers
syn keyword fairleadObject admin monitor pool vserver
hi def link fairleadComment Comment
hi def link fairleadString String
hi def link fairleadVariable Identifier
hi def link fairleadNumber Number
hi def link fairleadValue Constant
hi def link fairleadDirective Keyword
hi def link fairleadObject Structure
let b:current_syntax = "fairlead"
