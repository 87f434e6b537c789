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
syn keyword fairleadDirective consolidate control-core core default distribute drain-generations drain-timeout error-log
syn keyword fairleadDirective every expect fall forwarded function groups half-close hash
syn keyword fairleadDirective head-timeout heartbeat-timeout host http idle-max idle-timeout include keepalive-max
syn keyword fairleadDirective key-share-check listen max-bandwidth max-body max-connections max-fields max-head max-objects
syn keyword fairleadDirective max-request-line method min-version ocsp policy port protocol rebalance
syn keyword fairleadDirective redirect reject remove-header remove-response-header request-id resolver respond response-timeout
syn keyword fairleadDirective responses retries rise send service set-header set-response-header shutdown-grace
syn keyword fairleadDirective sni socket state ticket-keys ticket-lifetime tickets timeout tls
syn keyword fairleadDirective trust-forwarded tuple unknown-sni upgrade use user verify via
syn keyword fairleadDirective view weight workers
syn keyword fairleadObject admin monitor pool vserver
hi def link fairleadComment Comment
hi def link fairleadString String
hi def link fairleadVariable Identifier
hi def link fairleadNumber Number
hi def link fairleadValue Constant
hi def link fairleadDirective Keyword
hi def link fairleadObject Structure
let b:current_syntax = "fairlead"
