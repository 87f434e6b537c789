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
syn keyword fairleadValue debug default drain early err from full http
syn keyword fairleadValue http/1.1 info jhash json kernel least-connection least-load local
syn keyword fairleadValue maint monitors names none off on optional ping
syn keyword fairleadValue port quick ready redirect refuse reject required respond
syn keyword fairleadValue rfc7239 round-robin rss rules serve shared source-ip-hash staggered
syn keyword fairleadValue status tcp tls to toeplitz trust udp use
syn keyword fairleadValue vserver warn when x-forwarded
syn keyword fairleadDirective access-log alpn backlog backup body-rate body-timeout buffer-memory buffer-response
syn keyword fairleadDirective ca cert ciphers ciphersuites client-ca client-verify congestion connect-timeout
syn keyword fairleadDirective consolidate control-core core cores crash-block default device distribute
syn keyword fairleadDirective drain-generations drain-timeout error-log every expect fall flow forwarded
syn keyword fairleadDirective function groups half-close hash head-timeout heartbeat-timeout host http
syn keyword fairleadDirective idle-max idle-timeout include keepalive-max key-share-check listen max-bandwidth max-body
syn keyword fairleadDirective max-connections max-fields max-head max-objects max-request-line method min-version ocsp
syn keyword fairleadDirective policy port protocol rebalance redirect reject remove-header remove-response-header
syn keyword fairleadDirective request-id resolver respond response-timeout responses retries rise send
syn keyword fairleadDirective service set-header set-response-header shutdown-grace sni socket state ticket-keys
syn keyword fairleadDirective ticket-lifetime tickets timeout tls trust-forwarded tuple unknown-sni upgrade
syn keyword fairleadDirective use user verify via view weight workers
syn keyword fairleadObject admin monitor pool vserver
hi def link fairleadComment Comment
hi def link fairleadString String
hi def link fairleadVariable Identifier
hi def link fairleadNumber Number
hi def link fairleadValue Constant
hi def link fairleadDirective Keyword
hi def link fairleadObject Structure
let b:current_syntax = "fairlead"
